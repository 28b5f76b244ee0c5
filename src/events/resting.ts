const firstMs = 250
const longestMs = 60_000
/** A customer that was well for as long begins anew with a short rest. */
const forgottenMs = 2 * longestMs

interface Rest {
  attempt: number
  /** Undefined: it is over, and may have been of use. */
  timer: NodeJS.Timeout | undefined
  reason: string
  since: number
}

/** Customers whose queues do not take anything for a while, the longer the more often. */
export class Resting {
  readonly #rests = new Map<string, Rest>()
  readonly #onOver: () => void

  /** @param onOver is called when one may be tried again */
  constructor(onOver: () => void) {
    this.#onOver = onOver
  }

  has(customer: string): boolean {
    return this.#rests.get(customer)?.timer !== undefined
  }

  /** In one line; undefined: all take what comes. */
  get trouble(): string | undefined {
    const all = [...this.#rests.values()]
    const [first] = all
    if (first === undefined) return undefined
    return all.length === 1 ? first.reason : `${first.reason} (and ${all.length - 1} more)`
  }

  /** @returns whether that is news */
  rest(customer: string, reason: string): boolean {
    const known = this.#rests.get(customer)
    if (known?.timer !== undefined) return false
    const isOld = known === undefined || performance.now() - known.since > forgottenMs
    const attempt = isOld ? 0 : known.attempt + 1
    const ms = Math.min(firstMs * 2 ** attempt, longestMs) * (0.5 + Math.random() / 2)
    const rest: Rest = { attempt, reason, since: performance.now() + ms, timer: undefined }
    rest.timer = setTimeout(() => {
      rest.timer = undefined
      this.#onOver()
    }, ms).unref()
    this.#rests.set(customer, rest)
    return known?.reason !== reason
  }

  /** It took something. */
  isWell(customer: string): void {
    if (this.#rests.size > 0 && !this.has(customer)) this.#rests.delete(customer)
  }

  close(): void {
    for (const { timer } of this.#rests.values()) clearTimeout(timer)
    this.#rests.clear()
  }
}
