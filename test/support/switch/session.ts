import { randomUUID } from 'node:crypto'

import { applications } from './applications.js'
import { talk } from './bridge.js'
import type { Call } from './call.js'
import type { Channel } from './channel.js'
import type { CallClock, TimerKind } from './clock.js'
import { applicationsOf, perform, type Action, type PlannedApplication } from './dialplan.js'
import { endChannel, markHungUp } from './ending.js'
import type { OwnHeaders } from './events.js'
import type { ExecutedApplication } from './final-variables.js'
import { expand } from './expansion.js'
import { Header } from './headers.js'
import type { CalledLeg } from './called-leg.js'
import type { Leg } from './legs.js'
import type { Listener } from './listener.js'
import type { Recording } from './media.js'
import type { HangupParty, Message, TransferTarget } from './messages.js'
import type { SimulatedSwitch } from './switch.js'
import { frameMs, Thread, type Wake } from './thread.js'

/** An application that took less is not looped. */
const shortestLoopUs = 500_000
const dtmfDuration = '2000'

/** The thread of one channel: it runs the dialplan's actions, in them what the server asks for, and the end. */
export class Session implements Leg {
  readonly sw: SimulatedSwitch
  readonly call: Call
  readonly channel: Channel
  readonly clock: CallClock
  /** Sockets that were opened for this channel and are not closed yet. */
  readonly listeners = new Set<Listener>()
  /** Whether a server has the channel under control; a socket that closes takes it away from all. */
  isControlled = false
  /** It waits for `connect`, and nobody is there any more who could send it. */
  isParkedForEver = false
  /** Digits received and not yet collected. */
  pendingDigits = ''
  /** What runs takes each digit at once. */
  onDigit: ((digit: string) => void) | undefined
  recording: Recording | undefined
  /** The dialplans that it has run, the present one last. */
  readonly plans: (readonly PlannedApplication[])[] = []
  /** Legs that it dialled and that took the call, the latest last. */
  readonly answeredLegs: CalledLeg[] = []
  /** The leg that it talks to. */
  bridgedLeg: Leg | undefined
  readonly #thread: Thread
  #queue: Message[] = []
  #locks = 0
  #runningApplications = 0
  #transfer: TransferTarget | undefined
  /** It is on its way to a talk that is no application's. */
  #joined: CalledLeg | undefined
  /** It is parked, and hung up after so many ms. */
  #parked: { readonly ms: number; readonly cause: string } | undefined
  /** Of the present dialplan. */
  #left: PlannedApplication[] = []
  #allDigits = ''
  readonly #applications: ExecutedApplication[] = []
  #hangupTold: Promise<void> | undefined

  constructor(call: Call, channel: Channel) {
    this.call = call
    this.sw = call.sw
    this.clock = call.clock
    this.channel = channel
    this.#thread = new Thread(call.clock)
    this.sw.addLeg(this)
  }

  get uuid(): string {
    return this.channel.uuid
  }

  get session(): this {
    return this
  }

  /** Neither hung up nor on its way to another part of the dialplan. */
  get isReady(): boolean {
    return !this.channel.isDown && !this.#isLeaving
  }

  get #isLeaving(): boolean {
    return [this.#transfer, this.#joined, this.#parked].some((next) => next !== undefined)
  }

  /** The one that was begun last, which need not run any more: `show channels` shows it. */
  get lastApplication(): ExecutedApplication | undefined {
    return this.#applications.at(-1)
  }

  variable(name: string): string | undefined {
    return this.channel.variable(name)
  }

  setVariable(name: string, value: string): void {
    this.channel.variables.set(name, value)
  }

  kill(cause: string): void {
    this.hangup(cause, 'server')
  }

  receiveDigits(digits: string): void {
    this.clock.after(frameMs, 'follow', () => {
      for (const digit of digits)
        this.fire('DTMF', {
          after: [
            new Header('DTMF-Digit', digit),
            new Header('DTMF-Duration', dtmfDuration),
            new Header('DTMF-Source', 'APP'),
          ],
        })
      this.#allDigits += digits
      for (const digit of digits)
        if (this.onDigit === undefined) this.pendingDigits += digit
        else this.onDigit(digit)
      if (this.pendingDigits !== '') this.#thread.wake('digits', 0)
    })
  }

  /** The first of those that wait. */
  takeDigit(): string | undefined {
    const [digit] = this.pendingDigits
    this.pendingDigits = this.pendingDigits.slice(1)
    return digit
  }

  /** It has come in. */
  announce(): void {
    const { channel } = this
    const { runningState, state, callState } = channel
    channel.runningState = 'CS_INIT'
    channel.state = 'CS_ROUTING'
    channel.callState = 'DOWN'
    this.fire('CHANNEL_CREATE')
    Object.assign(channel, { runningState, state, callState })
  }

  async run(actions: readonly Action[]): Promise<void> {
    await this.#follow(actions)
    while (this.#isLeaving && !this.channel.isDown)
      if (this.#transfer !== undefined) await this.#follow(this.#reroute(this.#transfer))
      else if (this.#parked !== undefined) await this.#waitParked(this.#parked)
      else await this.#talkOn()
    this.hangup('NORMAL_CLEARING', 'switch')
    this.#queue = []
    await this.#hangupTold
    await endChannel(this, { digits: this.#allDigits, applications: this.#applications })
  }

  /** @returns once one of `wakes`, the time, a hangup or a transfer has come */
  wait(wakes: readonly Wake[], until?: { us: number; kind?: TimerKind }): Promise<Wake> {
    if (this.channel.isDown) return Promise.resolve('hangup')
    if (this.#isLeaving) return Promise.resolve('transfer')
    this.clock.setTimePassing(this.#runningApplications > 0)
    const waiting = this.#thread.wait([...wakes, 'hangup', 'transfer'], until)
    if (this.#queue.length > 0) this.#wakeForMessage()
    if (!this.isControlled) this.#thread.wake('released', frameMs)
    return waiting
  }

  /**
   * Lets an application that can be interrupted run for its time; what is sent meanwhile is executed
   * inside it and makes it last longer.
   */
  async waitInterruptibly(us: number | undefined, wakes: readonly Wake[] = []): Promise<Wake> {
    let deadline = us === undefined ? undefined : this.clock.now + us
    for (;;) {
      const until = deadline === undefined ? undefined : { us: deadline }
      const wake = await this.wait([...wakes, 'message', 'break'], until)
      if (wake !== 'message') return wake
      const interruptedAt = this.clock.now
      await this.processMessages()
      if (deadline !== undefined) deadline += this.clock.now - interruptedAt
    }
  }

  signal(wake: 'break' | 'leg' | 'connected'): void {
    this.#thread.wake(wake, 0)
  }

  queue(message: Message): void {
    if (this.channel.isDown) return
    this.#queue.push(message)
    this.#wakeForMessage()
  }

  release(): void {
    this.isControlled = false
    this.#thread.wake('released', frameMs)
  }

  /** @param kind as FreeSWITCH notes it in `transfer_history`: `bl_xfer` */
  transfer(target: TransferTarget, kind: string): void {
    if (!this.isReady) return
    this.#transfer = target
    const { channel } = this
    const { fields } = channel.profile
    const second = Math.floor(this.clock.now / 1e6)
    const source = `${second}:${randomUUID()}:${kind}:${target.destination}/${target.context}/XML`
    channel.state = 'CS_ROUTING'
    channel.earlierProfiles.push({ ...fields })
    channel.profile.update({
      destination: target.destination,
      context: target.context,
      rdnis: fields.destination,
      transferSource: source,
      index: fields.index + 1,
      profileCreated: this.clock.now,
      bridged: 0,
    })
    channel.variables.setAll({
      max_forwards: (Number(channel.variables.get('max_forwards') ?? 70) - 1).toString(),
      transfer_history: source,
      transfer_source: source,
    })
    this.#thread.wake('transfer', frameMs)
  }

  /** As switch_ivr_uuid_bridge does it: what runs is broken off, and afterwards the dialplan's next action runs. */
  join(leg: CalledLeg): void {
    if (!this.isReady) return
    this.#joined = leg
    this.#thread.wake('transfer', frameMs)
  }

  /** `park_timeout`: what runs is broken off, and the channel waits to be hung up. */
  park(ms: number, cause: string): void {
    if (!this.isReady) return
    this.#parked = { ms, cause }
    this.#thread.wake('transfer', frameMs)
  }

  /** Its party holds the call, by a re-INVITE, or takes it up again: nothing else happens to it. */
  hold(isHeld: boolean): void {
    if (!this.channel.isDown) this.fire(isHeld ? 'CHANNEL_HOLD' : 'CHANNEL_UNHOLD')
  }

  async processMessages(): Promise<void> {
    while (this.isReady) {
      const message = this.#queue.shift()
      if (message === undefined) return
      if (message.kind === 'hangup') this.hangup(message.cause, 'server')
      else await this.#executeMessage(message)
    }
  }

  async #executeMessage(message: Message & { kind: 'execute' }): Promise<void> {
    const { application, argument, loops = 1, isLocked = false } = message
    const { variables } = this.channel
    if (isLocked) this.#locks++
    for (let loop = 1; (loop <= loops || loops < 0) && this.isReady; loop++) {
      variables.setAll({ current_loop: loop.toString(), total_loops: loops.toString() })
      const startedAt = this.clock.now
      await this.execute(application, argument, message.uuid)
      if (this.clock.now - startedAt < shortestLoopUs) break
    }
    variables.unset('current_loop', 'total_loops')
    if (isLocked) this.#locks--
  }

  /** Runs one application with its two events. One that does not exist ends the call. */
  async execute(name: string, rawArgument: string, uuid: string = randomUUID()): Promise<void> {
    const application = applications.get(name)
    if (application === undefined) {
      this.hangup('DESTINATION_OUT_OF_ORDER', 'switch')
      return
    }
    const argument = expand(this, rawArgument)
    const { variables } = this.channel
    variables.unset('current_application_response')
    variables.set('current_application_data', argument)
    variables.set('current_application', name)
    this.#applications.push({ name, argument, at: this.clock.now })
    const about = [new Header('Application', name)]
    if (argument !== '') about.push(new Header('Application-Data', argument))
    const id = new Header('Application-UUID', uuid)
    this.fire('CHANNEL_EXECUTE', { after: [...about, id] })
    const passes = name === 'socket' ? 0 : 1
    this.#runningApplications += passes
    await application(this, argument)
    this.#runningApplications -= passes
    const response = variables.get('current_application_response') ?? '_none_'
    this.fire('CHANNEL_EXECUTE_COMPLETE', {
      after: [...about, new Header('Application-Response', response), id],
    })
  }

  hangup(cause: string, by: HangupParty): void {
    const { channel } = this
    if (channel.isDown) return
    markHungUp(channel, cause, by)
    if (this.bridgedLeg !== undefined) channel.variables.set('last_bridge_role', 'originator')
    this.call.noteHangup(this, by)
    // switch_core_session_locate finds none that is down, while its events are still on their way.
    this.sw.hideLeg(this)
    const { hangupToldAfterMs: ms = 0 } = this.call.options
    if (ms === 0) this.#tellHangup()
    else
      this.#hangupTold = new Promise((resolve) => {
        this.clock.after(ms, 'follow', () => {
          this.#tellHangup()
          resolve()
        })
      })
    if (by === 'caller' && channel.isAnswered) channel.variables.set('sip_hangup_disposition', 'recv_bye')
    this.#thread.wake('hangup', frameMs)
  }

  #tellHangup(): void {
    for (const listener of this.listeners) listener.channelDown('beforeHangup')
    this.fire('CHANNEL_HANGUP')
    for (const listener of this.listeners) listener.channelDown('afterHangup')
  }

  /** Tells it to everybody who has subscribed to it. */
  fire(name: string, own?: OwnHeaders): void {
    this.sw.deliver(this, name, () => this.sw.events.ofChannel(name, this.channel, this.clock.now, own))
  }

  #follow(actions: readonly Action[]): Promise<void> {
    const plan = applicationsOf(actions)
    this.plans.push(plan)
    this.#left = [...plan]
    return perform(this, this.#left)
  }

  async #talkOn(): Promise<void> {
    const leg = this.#joined
    this.#joined = undefined
    if (leg !== undefined) await talk(this, leg)
    return perform(this, this.#left)
  }

  async #waitParked({ ms, cause }: { readonly ms: number; readonly cause: string }): Promise<void> {
    this.#parked = undefined
    this.fire('CHANNEL_PARK')
    const us = this.clock.now + ms * 1000
    while ((await this.wait(['message'], { us })) === 'message') await this.processMessages()
    if (this.isReady) this.hangup(cause, 'switch')
  }

  #reroute(target: TransferTarget): readonly Action[] {
    const { channel } = this
    this.#transfer = undefined
    channel.runningState = 'CS_ROUTING'
    const { callState } = channel
    channel.callState = 'RINGING'
    this.fire('CHANNEL_STATE')
    channel.callState = callState
    channel.runningState = 'CS_EXECUTE'
    channel.state = 'CS_EXECUTE'
    this.fire('CHANNEL_STATE')
    channel.variables.set('DP_MATCH', [target.destination, target.destination])
    return this.call.actionsFor(target)
  }

  #wakeForMessage(): void {
    if (this.#locks === 0) this.#thread.wake('message', frameMs, 'step')
  }
}
