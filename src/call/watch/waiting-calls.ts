/** A call of which something was told, and that has no record of this node yet. */
export interface WaitingCall {
  readonly callUuid: string
  /** When it is looked at, by the monotonic clock. */
  dueAt: number
  /** Legs of which the journal has documents. */
  readonly kept: Set<string>
  /** The switch no longer knows it. */
  isGone: boolean
  /** When it was seen last, in µs by the switch's clock. */
  seenAt: number
  /** It is being looked at, or its record is on the way to the disk. */
  isBusy: boolean
}

/** Calls that are looked at, at once. */
const mostAtOnce = 500

/** Calls that wait for the record of their session, each for its own grace. */
export class WaitingCalls {
  readonly #calls = new Map<string, WaitingCall>()
  readonly #graceMs: number

  constructor(graceMs: number) {
    this.#graceMs = graceMs
  }

  get size(): number {
    return this.#calls.size
  }

  has(callUuid: string): boolean {
    return this.#calls.has(callUuid)
  }

  get(callUuid: string): WaitingCall | undefined {
    return this.#calls.get(callUuid)
  }

  /** The one that waits already, or one that begins to. */
  add(callUuid: string): WaitingCall {
    const known = this.#calls.get(callUuid)
    if (known !== undefined) return known
    const call: WaitingCall = {
      callUuid,
      dueAt: 0,
      kept: new Set(),
      isGone: false,
      seenAt: 0,
      isBusy: false,
    }
    this.#calls.set(callUuid, call)
    this.postpone(call)
    return call
  }

  /** It waits for a whole grace from now. */
  postpone(call: WaitingCall): void {
    call.dueAt = performance.now() + this.#graceMs
  }

  /** All of them do: nobody can deliver a record now. */
  postponeAll(): void {
    for (const call of this.#calls.values()) this.postpone(call)
  }

  delete(callUuid: string): void {
    this.#calls.delete(callUuid)
  }

  /** Those that have waited long enough. @param isLive one that has its session here waits on */
  due(isLive: (callUuid: string) => boolean): WaitingCall[] {
    const now = performance.now()
    const due: WaitingCall[] = []
    for (const call of this.#calls.values()) {
      if (isLive(call.callUuid)) this.postpone(call)
      else if (call.dueAt <= now && !call.isBusy && due.length < mostAtOnce) due.push(call)
    }
    return due
  }
}
