import { randomUUID } from 'node:crypto'

import { Call, type CallOptions } from './call.js'
import { causeNamed } from './causes.js'
import { CallClock } from './clock.js'
import type { EventSocket } from './event-socket.js'
import { EventSource, type FiredEvent } from './events.js'
import { Header } from './headers.js'
import { heartbeatHeaders } from './heartbeat.js'
import { InboundPort, type InboundOptions } from './inbound.js'
import { JsonCdr, type JsonCdrOptions } from './json-cdr.js'
import type { Leg } from './legs.js'
import { noticeStages, type NoticeStage } from './listener.js'
import { Queues } from './queue.js'
import { seededRandom } from './random.js'
import { scheduledTime, Scheduler } from './scheduler.js'
import type { Session } from './session.js'
import { templates } from './templates.js'

export interface SwitchOptions {
  /** ms since 1970; when calls begin. Default `Date.now`. */
  readonly now?: () => number
  /**
   * When in a hangup the linger notice comes, and whether `exit` is answered with a goodbye: `recorded`
   * is the commonest order, a number the seed of a random one. Default 1.
   */
  readonly noticeOrder?: number | 'recorded'
  /** mod_json_cdr. Default: not loaded. */
  readonly jsonCdr?: JsonCdrOptions
  /** mod_callcenter's queues. Default: each that is asked for. */
  readonly queues?: readonly string[]
  /** Phones that ring when something is originated to them, and that nobody answers. */
  readonly ringing?: readonly string[]
  /** Phones that answer what is originated to them. Default: none. */
  readonly registered?: readonly string[]
}

const goodbyeLikelihood = 0.9

/**
 * A FreeSWITCH: it takes calls and connects to their server, lets others connect to its event socket, and
 * posts each leg's CDR.
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
 *     const { host, port } = await sw.listenInbound({ password: 'ClueCon' })
 *     sw.heartbeat()
 *     sw.cutLinks()
 *     sw.restart()
 *
 * Its payloads are cut out of the recordings (templates.ts), and the tests `switch-recordings`, `switch-inbound`
 * and `switch-json-cdr` hold it to them.
 */
export class SimulatedSwitch {
  scheduler = new Scheduler()
  /** Every channel and dialled leg that commands can reach. */
  readonly legs = new Map<string, Leg>()
  /** Those that `show channels` shows: they stand there until their final event. */
  readonly listed = new Map<string, Leg>()
  /** Sockets that hear of other calls too: subscribed, and without `myevents`. */
  readonly openSockets = new Set<EventSocket>()
  readonly ports = new Set<InboundPort>()
  /** In which it can say numbers: there is a module for each. */
  readonly languages = new Set(['en'])
  readonly jsonCdr: JsonCdr | undefined
  /** Who waits for an agent, on all calls. */
  readonly queues: Queues
  readonly registered: ReadonlySet<string>
  readonly ringing: ReadonlySet<string>
  /** Calls that were made by `originate`. */
  readonly originated: Call[] = []
  /** What was played, or dialled, to a leg beside what runs, in order, by its uuid. */
  readonly heard = new Map<string, string[]>()
  readonly #whenGone = new Map<string, (() => void)[]>()
  readonly #now: () => number
  readonly #random: (() => number) | undefined
  readonly #calls = new Set<Call>()
  #coreUuid = randomUUID() as string
  #events = new EventSource(this.#coreUuid)
  #clock: CallClock
  #startedAt: number
  #lastSessionId = 0

  constructor(options: SwitchOptions = {}) {
    const { now = Date.now, noticeOrder = 1, jsonCdr, queues, registered = [], ringing = [] } = options
    this.registered = new Set(registered)
    this.ringing = new Set(ringing)
    this.#now = now
    this.queues = new Queues(queues)
    this.#random = noticeOrder === 'recorded' ? undefined : seededRandom(noticeOrder)
    this.#startedAt = this.nowUs()
    this.#clock = this.#newClock()
    this.jsonCdr = jsonCdr && new JsonCdr(jsonCdr, this.#coreUuid, templates().switchName)
  }

  /** Another one after each restart. */
  get coreUuid(): string {
    return this.#coreUuid
  }

  get events(): EventSource {
    return this.#events
  }

  /** For what is no call's. Each call has one of its own, which may run ahead. */
  get clock(): CallClock {
    return this.#clock
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

  /** Opens mod_event_socket's own port: the inbound side. */
  async listenInbound(options: InboundOptions): Promise<InboundPort> {
    const port = await InboundPort.listen(this, options)
    this.ports.add(port)
    return port
  }

  /** Drops all connections to the inbound ports; new ones are accepted. */
  cutLinks(): void {
    for (const port of this.ports) port.cut()
  }

  /** Tells the inbound side that it is alive. It does so only when told: nothing here waits for 20 s. */
  heartbeat(): void {
    this.#clock.sync()
    // Not before what its calls have told already, whose time may be ahead.
    const now = Math.max(this.#clock.now, ...[...this.#calls].map((call) => call.clock.now))
    const vitals = {
      upFor: now - this.#startedAt,
      sessions: this.listed.size,
      sessionsSinceStartup: this.#lastSessionId,
    }
    this.deliverToAll(this.#events.ofSwitch('HEARTBEAT', now, heartbeatHeaders(vitals)))
  }

  /** Tells a CUSTOM event of a module: `sofia::gateway_state` with its Gateway and State, … */
  custom(subclass: string, headers: Readonly<Record<string, string>>): void {
    this.#clock.sync()
    const own = Object.entries({ 'Event-Subclass': subclass, ...headers })
    const list = own.map(([name, value]) => new Header(name, value))
    this.deliverToAll(this.#events.ofSwitch('CUSTOM', this.#clock.now, list))
  }

  /** It dies and comes up again: calls and connections are cut off without a word, and are unknown. */
  restart(): void {
    this.#die()
    this.#coreUuid = randomUUID()
    this.#events = new EventSource(this.#coreUuid)
    this.#startedAt = this.nowUs()
    this.#clock = this.#newClock()
    this.jsonCdr?.restart(this.#coreUuid)
  }

  /** The switch dies: every call is cut off, and nobody can connect any more. */
  destroy(): void {
    this.#die()
    for (const port of this.ports) void port.close()
  }

  // What calls use.

  nowUs(): number {
    return Math.floor(this.#now() * 1000)
  }

  nextSessionId(): string {
    return (++this.#lastSessionId).toString()
  }

  addLeg(leg: Leg): void {
    this.legs.set(leg.uuid, leg)
    this.listed.set(leg.uuid, leg)
  }

  /** Hung up: no command reaches it any more. */
  hideLeg(leg: Leg): void {
    if (this.legs.get(leg.uuid) !== leg) return
    this.legs.delete(leg.uuid)
    const waiting = this.#whenGone.get(leg.uuid) ?? []
    this.#whenGone.delete(leg.uuid)
    for (const run of waiting) run()
  }

  /** @param run is called once when the leg is hung up */
  whenGone(uuid: string, run: () => void): void {
    this.#whenGone.set(uuid, [...(this.#whenGone.get(uuid) ?? []), run])
  }

  noteHeard(uuid: string, what: string): void {
    this.heard.set(uuid, [...(this.heard.get(uuid) ?? []), what])
  }

  /** Its final event has been told. */
  removeLeg(leg: Leg): void {
    this.hideLeg(leg)
    if (this.listed.get(leg.uuid) === leg) this.listed.delete(leg.uuid)
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
      // A leg that was transferred is another one by now.
      this.legs.get(leg.uuid)?.kill(causeNamed(cause))
    })
  }

  /** Tells an event of a channel to those who want it; it is only made if there is one. */
  deliver(session: Session, name: string, make: () => FiredEvent): void {
    if (session.call.isDead) return
    let event: FiredEvent | undefined
    const { onEvent } = session.call.options
    if (onEvent !== undefined) onEvent((event ??= make()))
    for (const listener of session.listeners)
      if (listener.subscription.hears(name)) listener.offer((event ??= make()))
    this.#tellOpenSockets(name, () => (event ??= make()), session.listeners)
    if (event === undefined) this.events.skip()
    if (session === session.call.session) session.call.noteEvent(name)
  }

  /** Tells an event of a leg that no socket was opened for. */
  deliverOfLeg(call: Call, name: string, make: () => FiredEvent): void {
    if (call.isDead) return
    let event: FiredEvent | undefined
    this.#tellOpenSockets(name, () => (event ??= make()))
    if (event === undefined) this.events.skip()
  }

  /** Tells an event that is no channel's. @param owner hears it too if it has a right to */
  deliverToAll(event: FiredEvent, owner?: EventSocket): void {
    for (const socket of this.openSockets) socket.offer(event)
    if (owner !== undefined && !this.openSockets.has(owner)) owner.offer(event)
  }

  #tellOpenSockets(name: string, event: () => FiredEvent, besides?: ReadonlySet<EventSocket>): void {
    for (const socket of this.openSockets)
      if (besides?.has(socket) !== true && socket.subscription.hears(name)) socket.offer(event())
  }

  #newClock(): CallClock {
    return new CallClock(this.nowUs(), 1, 0)
  }

  #die(): void {
    for (const call of this.#calls) call.destroy()
    this.#calls.clear()
    this.queues.clear()
    this.legs.clear()
    this.listed.clear()
    this.scheduler = new Scheduler()
    this.#clock.close()
    this.jsonCdr?.restart(this.#coreUuid)
    this.cutLinks()
  }
}
