import type { CallClock, Timer, TimerKind } from './clock.js'

/** Why a waiting thread goes on. */
export type Wake =
  'time' | 'message' | 'released' | 'connected' | 'digits' | 'break' | 'leg' | 'hangup' | 'transfer'

/** FreeSWITCH's threads look around once a media frame. */
export const frameMs = 20

interface Waiter {
  readonly wakes: readonly Wake[]
  readonly timers: Timer[]
  readonly go: (wake: Wake) => void
}

/** One who waits: for a time, or for whatever of what it named comes first. */
export class Thread {
  readonly #clock: CallClock
  #waiter: Waiter | undefined

  constructor(clock: CallClock) {
    this.#clock = clock
  }

  /** @param until a time that ends the wait as well, µs */
  wait(wakes: readonly Wake[], until?: { us: number; kind?: TimerKind }): Promise<Wake> {
    return new Promise((resolve) => {
      const timers: Timer[] = []
      const go = (wake: Wake): void => {
        this.#waiter = undefined
        for (const timer of timers) timer.cancel()
        resolve(wake)
      }
      this.#waiter = { wakes, timers, go }
      if (until === undefined) return
      const onTime = (): void => {
        go('time')
      }
      timers.push(this.#clock.at(until.us, until.kind ?? 'script', onTime))
    })
  }

  /** Wakes the thread, if it waits for this, after so many ms. */
  wake(wake: Wake, ms: number, kind: TimerKind = 'follow'): void {
    const waiter = this.#waiter
    if (!waiter?.wakes.includes(wake)) return
    if (ms === 0) {
      waiter.go(wake)
      return
    }
    const onTime = (): void => {
      waiter.go(wake)
    }
    waiter.timers.push(this.#clock.after(ms, kind, onTime))
  }
}
