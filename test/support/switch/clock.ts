/**
 * How fast a call's time passes.
 * - a number: so many times real time; 1 is real time
 * - `instant`: what is scripted happens at once, in its order and stamped with its own time
 * - `manual`: nothing happens but by `step()`
 */
export type Speed = number | 'instant' | 'manual'

/**
 * - `script`: something that people or machines outside do
 * - `step`: the switch's own next step, before which its server has time to say more
 * - `follow`: what a step of the switch brings with it (a thread that wakes 20 ms later)
 * - `watchdog`: a deadline. An instant clock does not jump to it while the channel waits for its server
 */
export type TimerKind = 'script' | 'step' | 'follow' | 'watchdog'

export interface Timer {
  cancel(): void
}

interface Entry {
  readonly at: number
  readonly kind: TimerKind
  readonly run: () => void
}

/** The real world's share: a time, silence, a longer silence, or one turn of the event loop. */
type Wait = 'time' | 'quiet' | 'long quiet' | 'turn'

/** So much more patience has the script while the channel waits for its server and nothing runs. */
const longQuiet = 10
/**
 * Turns of the event loop that must be quiet as well: to a process that had no CPU for a while all timers are due
 * before it has looked at its sockets.
 */
const lastTurns = 4

/** Of setTimeout; 24 days, which no call lasts. */
const longestDelayMs = 2 ** 31 - 1

/**
 * A call's own time, in µs since 1970. It stands still while something is done and moves when a timer
 * fires, to exactly that timer's time, or (not when instant) when the world outside acts: so a call of
 * 60 s is one of 60,000,000 µs, whatever the machine was doing.
 */
export class CallClock {
  /** Whether an application is running, so that time passes while nobody says anything. */
  isTimePassing = false
  readonly #speed: Speed
  readonly #settleMs: number
  readonly #entries: Entry[] = []
  readonly #start: number
  readonly #realStart = performance.now()
  #now: number
  #lastActivity = 0
  #isClosed = false
  #armed: { next: Entry; wait: Wait; cancel: () => void } | undefined

  /**
   * @param start µs since 1970
   * @param settleMs how long the world must have been quiet before an instant clock jumps, real ms
   */
  constructor(start: number, speed: Speed, settleMs: number) {
    this.#start = start
    this.#now = start
    this.#speed = speed
    this.#settleMs = settleMs
  }

  /** µs since 1970 */
  get now(): number {
    return this.#now
  }

  /** Something happened outside: a command came in, a test hung up. */
  sync(): void {
    this.#lastActivity = performance.now()
    if (typeof this.#speed !== 'number') return
    // Not past a timer that is due but has not fired: it must find its own time.
    const next = this.#entries[0]?.at ?? Infinity
    this.#now = Math.max(this.#now, Math.min(this.#elapsed(this.#speed), next))
  }

  after(ms: number, kind: TimerKind, run: () => void): Timer {
    return this.at(this.#now + Math.round(ms * 1000), kind, run)
  }

  at(us: number, kind: TimerKind, run: () => void): Timer {
    if (this.#isClosed) return { cancel: () => undefined }
    const entry: Entry = { at: Math.max(us, this.#now), kind, run }
    const later = this.#entries.findIndex((other) => other.at > entry.at)
    this.#entries.splice(later < 0 ? this.#entries.length : later, 0, entry)
    this.#arm()
    return {
      cancel: () => {
        const index = this.#entries.indexOf(entry)
        if (index >= 0) this.#entries.splice(index, 1)
      },
    }
  }

  /** Fires the next timer, of whatever kind. @returns false if there is none */
  step(): boolean {
    const entry = this.#entries.shift()
    if (entry === undefined) return false
    this.#now = Math.max(this.#now, entry.at)
    entry.run()
    return true
  }

  /** Time has begun to pass, or stands again. */
  setTimePassing(isTimePassing: boolean): void {
    this.isTimePassing = isTimePassing
    this.#arm()
  }

  /** Nothing fires any more. */
  close(): void {
    this.#isClosed = true
    this.#entries.length = 0
    this.#armed?.cancel()
    this.#armed = undefined
  }

  #elapsed(speed: number): number {
    return this.#start + Math.round((performance.now() - this.#realStart) * 1000 * speed)
  }

  #arm(): void {
    const [next] = this.#entries
    const wait = next === undefined ? undefined : this.#waitFor(next)
    if (next === this.#armed?.next && wait === this.#armed?.wait) return
    this.#armed?.cancel()
    this.#armed = undefined
    if (next === undefined || wait === undefined) return
    const cancel =
      wait === 'quiet' || wait === 'long quiet'
        ? this.#whenQuiet(wait, next)
        : realTimer(this.#realMs(next, wait), () => {
            this.#fire(next)
          })
    this.#armed = { next, wait, cancel }
  }

  /** What is waited for until the next timer fires; nothing if only `step` fires it. */
  #waitFor(next: Entry): Wait | undefined {
    if (this.#speed === 'manual') return undefined
    if (typeof this.#speed === 'number') return 'time'
    if (next.kind === 'follow') return 'turn'
    if (this.isTimePassing || next.kind === 'step') return 'quiet'
    return this.#entries.some((entry) => entry.kind !== 'watchdog') ? 'long quiet' : 'time'
  }

  #realMs(next: Entry, wait: Wait): number {
    if (wait === 'turn') return 0
    const [from, speed] =
      typeof this.#speed === 'number' ? [this.#elapsed(this.#speed), this.#speed] : [this.#now, 1]
    return Math.max(0, (next.at - from) / 1000 / speed)
  }

  /** @returns how to cancel it */
  #whenQuiet(wait: Wait, next: Entry, sinceMs = 0, turns = lastTurns): () => void {
    const neededMs = this.#settleMs * (wait === 'long quiet' ? longQuiet : 1)
    return realTimer(neededMs - sinceMs, () => {
      const quietMs = performance.now() - this.#lastActivity
      const isQuiet = neededMs - quietMs < 1
      if (isQuiet && turns === 0) this.#fire(next)
      else {
        const cancel = isQuiet
          ? this.#whenQuiet(wait, next, neededMs, turns - 1)
          : this.#whenQuiet(wait, next, quietMs)
        this.#armed = { next, wait, cancel }
      }
    })
  }

  #fire(next: Entry): void {
    this.#armed = undefined
    if (this.#entries[0] === next) this.step()
    this.#arm()
  }
}

/** @returns how to cancel it */
function realTimer(ms: number, run: () => void): () => void {
  if (ms < 1) {
    const immediate = setImmediate(run)
    return () => {
      clearImmediate(immediate)
    }
  }
  const timeout = setTimeout(run, Math.min(ms, longestDelayMs))
  return () => {
    clearTimeout(timeout)
  }
}
