/** So many whole seconds are counted; the present one is not over yet, and is not told. */
export const countedSeconds = 60

interface Second {
  /** Which one, since whenever the clock began. */
  at: number
  total: number
  readonly byTenant: Map<string, number>
}

/** How many calls began in each of the last seconds, by tenant: in memory alone, two increments a call. */
export class BegunCalls {
  readonly #now: () => number
  readonly #seconds: Second[] = Array.from({ length: countedSeconds + 1 }, () => ({
    at: -1,
    total: 0,
    byTenant: new Map<string, number>(),
  }))

  /** @param now a monotonic clock, in ms */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** @param tenant undefined: nobody's */
  add(tenant: string | undefined): void {
    const at = Math.floor(this.#now() / 1000)
    const second = this.#seconds[at % this.#seconds.length]
    if (second === undefined) return
    if (second.at !== at) {
      second.at = at
      second.total = 0
      second.byTenant.clear()
    }
    second.total++
    if (tenant !== undefined) second.byTenant.set(tenant, (second.byTenant.get(tenant) ?? 0) + 1)
  }

  /** Those of the last 60 whole seconds, the oldest first. @param tenant without it, of all */
  perSecond(tenant?: string): number[] {
    const now = Math.floor(this.#now() / 1000)
    return Array.from({ length: countedSeconds }, (_, i) => {
      const at = now - countedSeconds + i
      const second = at < 0 ? undefined : this.#seconds[at % this.#seconds.length]
      if (second?.at !== at) return 0
      return tenant === undefined ? second.total : (second.byTenant.get(tenant) ?? 0)
    })
  }
}
