import { Problem } from './errors.js'

/** How many may do something at once; who comes when there are as many is sent away, and told to come again. */
export class Turns {
  readonly #most: number
  readonly #doing: string
  #taken = 0

  /** @param doing what they do, in words: `imports` */
  constructor(most: number, doing: string) {
    this.#most = most
    this.#doing = doing
  }

  /** @returns to be called when it is done, once or more often; @throws Problem `busy` */
  take(): () => void {
    if (this.#taken >= this.#most) {
      const detail = `This server does ${this.#most} ${this.#doing} at a time. Try again later.`
      throw new Problem('busy', detail, { retryAfter: 10 })
    }
    this.#taken++
    let isTaken = true
    return () => {
      if (isTaken) this.#taken--
      isTaken = false
    }
  }
}
