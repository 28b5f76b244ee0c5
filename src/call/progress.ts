/** What a route was told once: the same name and the same value when it runs anew. */
export interface TakenStep {
  readonly name: string
  readonly value: string | number | boolean
}

/**
 * What a call has been through on its way: its route, which runs anew after a takeover, is told the same again. The
 * way is taken in the same order; where it differs, because the flow was changed meanwhile, it goes on afresh.
 */
export class Progress {
  readonly #steps: TakenStep[] = []
  #earlier: readonly TakenStep[]

  /** @param earlier what the call's last server had been told */
  constructor(earlier: readonly TakenStep[] = []) {
    this.#earlier = earlier
  }

  /** All of them so far, for the channel. Those of an earlier server that the route has not come to yet are among them. */
  get steps(): readonly TakenStep[] {
    return [...this.#steps, ...this.#earlier]
  }

  async once<T extends TakenStep['value']>(name: string, happen: () => T | Promise<T>): Promise<T> {
    const [earlier, ...further] = this.#earlier
    const isSame = earlier?.name === name
    this.#earlier = isSame ? further : []
    const value = isSame ? (earlier.value as T) : await happen()
    this.#steps.push({ name, value })
    return value
  }
}
