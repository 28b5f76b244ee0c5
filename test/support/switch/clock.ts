/**
 * How fast a call's time passes.
 * - a number: so many times real time; 1 is real time
 * - `instant`: what is scripted happens at once, in its order and stamped with its own time
 * - `manual`: nothing happens but by `step()`
 */
export type Speed = number | 'instant' | 'manual'

/**
 * - `script`: something that people or machines outside do, or a switch's next step that gives its
 *   server time to speak first
 * - `follow`: what a step of the switch brings with it (a thread that wakes 20 ms later)
 * - `watchdog`: a deadline. An instant clock does not jump to it while the channel waits for its server
 */
export type TimerKind = 'script' | 'follow' | 'watchdog'

export interface Timer {
  cancel(): void
}

interface Entry {
  readonly at: number
  readonly kind: TimerKind
  readonly run: () => void
}

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
  #real: { cancel: () => void } | undefined

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

  close(): void {
    this.#entries.length = 0
    this.#real?.cancel()
    this.#real = undefined
  }

  #elapsed(speed: number): number {
    return this.#start + Math.round((performance.now() - this.#realStart) * 1000 * speed)
  }

  #arm(): void {
    this.#real?.cancel()
    this.#real = undefined
    const [next] = this.#entries
    if (next === undefined || this.#speed === 'manual') return
    if (typeof this.#speed === 'number') {
      const realMs = (next.at - this.#elapsed(this.#speed)) / 1000 / this.#speed
      this.#real = realTimer(Math.max(realMs, 0), () => {
        this.#fire(next)
      })
    } else if (next.kind === 'follow') {
      this.#real = realTimer(0, () => {
        this.#fire(next)
      })
    } else if (this.isTimePassing || this.#entries.some((entry) => entry.kind !== 'watchdog')) {
      this.#waitForQuiet(this.#settleMs, next)
    } else {
      this.#real = realTimer((next.at - this.#now) / 1000, () => {
        this.#fire(next)
      })
    }
  }

  #waitForQuiet(ms: number, next: Entry): void {
    this.#real = realTimer(ms, () => {
      const left = this.#settleMs - (performance.now() - this.#lastActivity)
      if (left >= 1) this.#waitForQuiet(left, next)
      else this.#fire(next)
    })
  }

  #fire(next: Entry): void {
    this.#real = undefined
    if (this.#entries[0] === next) this.step()
    this.#arm()
  }
}

function realTimer(ms: number, run: () => void): { cancel: () => void } {
  if (ms < 1) {
    const immediate = setImmediate(run)
    return {
      cancel: () => {
        clearImmediate(immediate)
      },
    }
  }
  const timeout = setTimeout(run, Math.min(ms, longestDelayMs))
  return {
    cancel: () => {
      clearTimeout(timeout)
    },
  }
}
