import type { Command } from './command.js'
import { ReplyTimeout } from './errors.js'

/** A command and who waits for its reply. */
export interface Pending {
  readonly command: Command
  readonly timeoutMs: number
  readonly resolve: (reply: string) => void
  readonly reject: (error: Error) => void
}

interface Written extends Pending {
  /** When the reply must be here, in ms of the monotonic clock. */
  readonly deadline: number
}

/** Commands that were written and wait for their replies, which come in the same order and carry no ids. */
export class Replies {
  readonly #onTimeout: (error: ReplyTimeout) => void
  readonly #waiting: Written[] = []
  #timer: NodeJS.Timeout | undefined
  /** When the timer fires, in ms of the monotonic clock. */
  #timerAt = 0

  /** @param onTimeout a reply did not come in time: those that come later cannot be told apart any more */
  constructor(onTimeout: (error: ReplyTimeout) => void) {
    this.#onTimeout = onTimeout
  }

  /** The command is being written now: its time runs from here. */
  expect({ command, timeoutMs, resolve, reject }: Pending): void {
    const now = performance.now()
    const deadline = now + timeoutMs
    this.#waiting.push({ command, timeoutMs, resolve, reject, deadline })
    if (this.#timer === undefined || deadline < this.#timerAt) this.#watch(deadline, now)
  }

  /** Whose reply the next one is. */
  next(): Pending | undefined {
    return this.#waiting.shift()
  }

  /** Gives up waiting. @returns those that have no reply */
  abandon(): Pending[] {
    clearTimeout(this.#timer)
    return this.#waiting.splice(0)
  }

  /** One timer, for the reply that is due first: replies do not touch it, it looks again when it fires. */
  #watch(deadline: number, now: number): void {
    clearTimeout(this.#timer)
    this.#timerAt = deadline
    this.#timer = setTimeout(this.#onTimer, deadline - now)
    this.#timer.unref()
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined
    const now = performance.now()
    let first: Written | undefined
    for (const written of this.#waiting) {
      if (first === undefined || written.deadline < first.deadline) first = written
    }
    if (first === undefined) return
    if (first.deadline > now) this.#watch(first.deadline, now)
    else this.#onTimeout(new ReplyTimeout(first.command.verb, first.timeoutMs))
  }
}
