import { randomUUID } from 'node:crypto'

import { Call, type CallOptions } from './call.js'
import { causeNamed } from './causes.js'
import type { CallClock } from './clock.js'
import { EventSource, type FiredEvent } from './events.js'
import type { Leg } from './legs.js'
import { noticeStages, type Listener, type NoticeStage } from './listener.js'
import { seededRandom } from './random.js'
import { scheduledTime, Scheduler } from './scheduler.js'
import type { Session } from './session.js'

export interface SwitchOptions {
  /** ms since 1970; when calls begin. Default `Date.now`. */
  readonly now?: () => number
  /**
   * When in a hangup the linger notice comes, and whether `exit` is answered with a goodbye: `recorded`
   * is the commonest order, a number the seed of a random one. Default 1.
   */
  readonly noticeOrder?: number | 'recorded'
}

const goodbyeLikelihood = 0.9

/**
 * A FreeSWITCH with the outbound side of its event socket: it takes calls and connects to their server.
 *
 *     const sw = new SimulatedSwitch()
 *     const call = sw.call({
 *       to: [{ host: '127.0.0.1', port: 9000 }],
 *       caller: '0912406496',
 *       called: '0901234567',
 *       farEnd: { ringsAfterMs: 500, answersAfterMs: 3000, hangsUpAfterMs: 60_000 },
 *     })
 *     const { cause, legs } = await call.ended
 *
 * Its payloads are cut out of the recordings (templates.ts), and the test `switch-recordings` holds it to
 * them: every outbound transcript, every frame, every header.
 */
export class SimulatedSwitch {
  readonly coreUuid = randomUUID()
  readonly events: EventSource
  readonly scheduler = new Scheduler()
  /** Every channel and dialled leg that is up. */
  readonly legs = new Map<string, Leg>()
  /** Sockets that hear other calls too: subscribed, and without `myevents`. */
  readonly openListeners = new Set<Listener>()
  readonly #now: () => number
  readonly #random: (() => number) | undefined
  readonly #calls = new Set<Call>()
  #lastSessionId = 0

  constructor(options: SwitchOptions = {}) {
    const { now = Date.now, noticeOrder = 1 } = options
    this.#now = now
    this.#random = noticeOrder === 'recorded' ? undefined : seededRandom(noticeOrder)
    this.events = new EventSource(this.coreUuid)
  }

  /** Calls that are not ended. */
  get callCount(): number {
    return this.#calls.size
  }

  /** A call comes in, and its dialplan begins. */
  call(options: CallOptions): Call {
    const call = new Call(this, options)
    this.#calls.add(call)
    const forget = (): void => {
      this.#calls.delete(call)
    }
    call.ended.then(forget, forget)
    return call
  }

  /** The switch dies: every call is cut off. */
  destroy(): void {
    for (const call of this.#calls) call.destroy()
    this.#calls.clear()
    this.legs.clear()
  }

  // What calls use.

  nowUs(): number {
    return Math.floor(this.#now() * 1000)
  }

  nextSessionId(): string {
    return (++this.#lastSessionId).toString()
  }

  chooseNoticeStage(): NoticeStage {
    const choice = this.#random === undefined ? noticeStages.length - 1 : this.#random() * noticeStages.length
    return noticeStages[Math.floor(choice)] ?? 'afterFinal'
  }

  saysGoodbye(): boolean {
    return this.#random === undefined || this.#random() < goodbyeLikelihood
  }

  /** @param time `+60`, or a second of the epoch */
  scheduleHangup(clock: CallClock, leg: Leg, time: string, cause: string): void {
    const seconds = Number(time.replace('+', ''))
    const us = time.startsWith('+') ? scheduledTime(clock.now, seconds) : seconds * 1e6
    this.scheduler.add(clock, us, leg.uuid, () => {
      leg.kill(causeNamed(cause))
    })
  }

  /** Tells an event of a channel to those who want it; it is only made if there is one. */
  deliver(session: Session, name: string, make: () => FiredEvent): void {
    let event: FiredEvent | undefined
    const { onEvent } = session.call.options
    if (onEvent !== undefined) onEvent((event ??= make()))
    for (const listener of session.listeners)
      if (listener.subscription.hears(name)) listener.offer((event ??= make()))
    for (const listener of this.openListeners)
      if (!session.listeners.has(listener) && listener.subscription.hears(name))
        listener.offer((event ??= make()))
    if (event === undefined) this.events.skip()
    if (session === session.call.session) session.call.noteEvent(name)
  }

  /** Tells an event that is no channel's. @param owner hears it too if it has a right to */
  deliverToAll(event: FiredEvent, owner?: Listener): void {
    for (const listener of this.openListeners) listener.offer(event)
    if (owner !== undefined && !this.openListeners.has(owner)) owner.offer(event)
  }
}
