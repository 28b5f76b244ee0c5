import type { CallClock, Timer } from './clock.js'

interface Task {
  readonly clock: CallClock
  readonly group: string
  readonly timer: Timer
}

/** When in its second FreeSWITCH's scheduler looks at what is due; recorded are 46 to 148 ms. */
const phaseUs = 86_000

/**
 * @param seconds from now
 * @returns µs. FreeSWITCH counts in whole seconds, so that +2 is anything between 1 and 2 s, and a bit
 */
export function scheduledTime(now: number, seconds: number): number {
  return Math.max((Math.floor(now / 1e6) + seconds) * 1e6 + phaseUs, now)
}

/** `sched_hangup`, `sched_api`, `sched_del`: tasks by number and by group, on the clock of their call. */
export class Scheduler {
  readonly #tasks = new Map<number, Task>()
  #lastId = 0

  /** @returns the task's number */
  add(clock: CallClock, us: number, group: string, run: () => void): number {
    const id = ++this.#lastId
    const timer = clock.at(us, 'watchdog', () => {
      this.#tasks.delete(id)
      run()
    })
    this.#tasks.set(id, { clock, group, timer })
    return id
  }

  /** @param name a task's number or a group's name. @returns how many there were */
  remove(name: string): number {
    let count = 0
    for (const [id, task] of this.#tasks) {
      if (task.group !== name && id.toString() !== name) continue
      task.timer.cancel()
      this.#tasks.delete(id)
      count++
    }
    return count
  }

  /** A call is over. */
  forget(clock: CallClock): void {
    for (const [id, task] of this.#tasks) if (task.clock === clock) this.#tasks.delete(id)
  }
}
