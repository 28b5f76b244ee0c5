import type { Logger } from 'pino'
import type { BridgeResult, Channel } from '../channel/channel.js'
import type { Collected } from '../channel/collect.js'
import { checkTarget } from '../channel/hand-over.js'
import { prompt, type Prompt } from '../channel/prompt.js'
import { CallerGone } from '../esl/errors.js'
import type {
  Call,
  GatewayDialOptions,
  GatewayResult,
  CollectWishes,
  PublishedEvent,
  QueueOptions,
  QueueResult,
  RingOptions,
  TransferTarget,
} from '../routes/call.js'
import { NoRoute, type Leading } from '../routes/registry.js'
import type { Extension, Gateway } from '../store/catalog.js'
import type { Flows, Hours, Menu, Sound, Step } from '../store/flow.js'
import type { Announcer } from './announcer.js'
import { Dialler } from './legs/dialler.js'
import { earlierMenu } from './earlier-menu.js'
import { Ended } from './ended.js'
import type { ChannelFacts } from './facts.js'
import { guarded } from './guarded-call.js'
import { handOn, mostTransfers } from './hand-on.js'
import { IdentifiedCall } from './identified-call.js'
import type { Identity } from './identify.js'
import { queueTarget } from './legs/target.js'
import { Recorder } from './recording/recorder.js'
import { screenCaller } from './screen-caller.js'
import type { SessionDependencies } from './session-dependencies.js'
import type { Story } from './story.js'

export interface ServedCallOptions extends SessionDependencies {
  readonly story: Story
  /** Who is in it now. */
  readonly identity: Identity
  readonly announcer: Announcer
  readonly channel: Channel
  readonly log: Logger
  /** Channel variables that its first route named, set or not. */
  readonly variables: ReadonlyMap<string, string | undefined>
}

/** So many routes may one call be led through: a flow that leads round in circles ends. */
const mostSteps = 50
/** VIPs come before all others in a queue: a day of waiting. */
const vipScore = 86_400

/** A call as its route sees it, and what can be done with it. */
export class ServedCall extends IdentifiedCall implements Call {
  readonly log: Logger
  readonly #options: ServedCallOptions
  readonly #flows: Flows | undefined
  readonly recorder: Recorder
  #dialler: Dialler | undefined
  /** As routes get it. */
  #guarded: Call | undefined
  #hasHoldMusic = false
  #steps = 0

  constructor(facts: ChannelFacts, options: ServedCallOptions) {
    super(facts, options.identity)
    this.#options = options
    this.log = options.log
    this.recorder = new Recorder(options)
    const { tenant } = options.story.identity
    // Of one moment: a call keeps the menus that it began with.
    this.#flows = tenant && options.catalog.flows(tenant.id)
  }

  /** Undefined: nothing was dialled. */
  get dialler(): Dialler | undefined {
    return this.#dialler
  }

  get isVip(): boolean {
    return this.#options.story.isVip
  }

  get isBlacklisted(): boolean {
    return this.#options.story.isBlacklisted
  }

  async variable(name: string): Promise<string | undefined> {
    const { variables, channel } = this.#options
    return variables.has(name) ? variables.get(name) : channel.variable(name)
  }

  extension(number: string): Extension | undefined {
    return this.#options.catalog.extension(this.tenant.id, number)
  }

  async menu(id: string): Promise<Menu | undefined> {
    const now = this.#flows?.menu(id)
    const version = await this.once(`menu:${id}`, () => now?.version ?? 0)
    if (version === now?.version || version === 0) return now
    const ask = (): Promise<Menu | undefined> =>
      this.#options.catalog.earlierMenu(this.tenant.id, id, version)
    return earlierMenu(now, ask, { menu: id, version }, this.log)
  }

  hours(id: string): Hours | undefined {
    return this.#flows?.hours(id)
  }

  screen(): Promise<void> {
    return screenCaller(this.#options.story, this.#options.screening)
  }

  async answer(): Promise<void> {
    await this.#dial.answer()
  }

  /** Its channel costs something itself, and was another server's or another call's until now. */
  takeUp(): void {
    if (this.#options.story.identity.tenant === undefined) return
    this.#dial.takeUp().catch((error: unknown) => {
      if (!(error instanceof CallerGone)) this.log.error({ err: error }, 'the call is not extended')
    })
  }

  async play(...sounds: Sound[]): Promise<void> {
    for (const missing of await this.#options.channel.play(...checked(sounds))) this.#noteMissing(missing)
  }

  async collect({ invalidPrompt = [], noInputPrompt = [], ...wishes }: CollectWishes): Promise<Collected> {
    const options = {
      ...wishes,
      prompt: checked(wishes.prompt),
      invalidPrompt: checked(invalidPrompt),
      noInputPrompt: checked(noInputPrompt),
    }
    const collected = await this.#options.channel.collect(options, this.#state())
    for (const missing of collected.unplayed) this.#noteMissing(missing)
    return collected
  }

  set(variables: Readonly<Record<string, string>>): Promise<void> {
    return this.#options.channel.set(variables)
  }

  gateways(number = this.called): readonly Gateway[] {
    const { catalog, gateways } = this.#options
    return gateways.order(catalog.gateways(this.tenant.id, number), this.facts.switchName)
  }

  async ring(extensions: readonly Extension[], options: RingOptions = {}): Promise<BridgeResult> {
    this.#options.announcer.dials(extensions)
    return this.#dial.toExtensions(extensions, options)
  }

  async dialGateway(
    gateway: Gateway,
    number = this.called,
    options?: GatewayDialOptions,
  ): Promise<GatewayResult> {
    this.#options.announcer.dials()
    return this.#dial.toGateway(gateway, number, options)
  }

  async queue(name: string, { music }: QueueOptions = {}): Promise<QueueResult> {
    const { story } = this.#options
    // Left or not, it is a step of the call's way: first of all, so that those after it are found again.
    const joinedAt = await this.once(`queue:${name}`, () => Math.floor(Date.now() / 1000))
    const earlier = this.#dial.earlierResult(queueTarget(name))
    if (earlier !== undefined) return { isConnected: earlier.isConnected, why: earlier.cause }
    this.#options.announcer.queued(name)
    // Back in its place, after a server's death: each second of waiting counts one.
    const waited = Math.max(0, Math.floor(Date.now() / 1000) - joinedAt)
    return this.#dial.toQueue(name, {
      score: waited + (story.isVip ? vipScore : 0),
      ...(music !== undefined && { music: prompt(music) }),
    })
  }

  record(isRecorded: boolean): void {
    const { story } = this.#options
    story.isRecorded = isRecorded
    if (story.adminRecords === undefined) void this.recorder.turn(isRecorded)
  }

  async go(step: Step): Promise<void> {
    if (++this.#steps > mostSteps)
      return this.refuse('EXCHANGE_ROUTING_ERROR', `its flow leads on more than ${mostSteps} times`)
    let leading: Leading
    try {
      leading = this.#options.routes.lead(step)
    } catch (error) {
      if (!(error instanceof NoRoute)) throw error
      return this.refuse('NO_ROUTE_DESTINATION', error.message)
    }
    await this.run(leading)
  }

  /** Its first route, or one that it goes on with. */
  async run({ route, args }: Leading): Promise<void> {
    const { announcer, channel, story } = this.#options
    announcer.enters(route.name)
    this.#guarded ??= guarded(this, { log: this.log, isUp: () => channel.isUp, route: () => story.route })
    await route.run(this.#guarded, args)
  }

  once<T extends string | number | boolean>(name: string, happen: () => T | Promise<T>): Promise<T> {
    return this.#options.story.progress.once(name, happen)
  }

  hangup(cause: string): Promise<void> {
    const { story, channel } = this.#options
    story.ending ??= { cause, by: cause === this.#dialler?.lastBridge?.cause ? 'called' : 'server' }
    return channel.hangup(cause)
  }

  async refuse(cause: string, why: string): Promise<never> {
    this.#options.story.refusal = why
    await this.hangup(cause)
    throw new Ended(why)
  }

  async giveBack(variables: Readonly<Record<string, string>> = {}): Promise<never> {
    const { story, channel, node, announcer } = this.#options
    announcer.leave()
    await handOn(this.#options, 'isGivenBack', () => channel.giveBack(variables, story.state(node)))
    throw new Ended('the call was given back to its dialplan')
  }

  async transfer({ destination, context }: TransferTarget): Promise<never> {
    const { story, channel, announcer } = this.#options
    if (story.transfers >= mostTransfers)
      return this.refuse('EXCHANGE_ROUTING_ERROR', `it was transferred more than ${mostTransfers} times`)
    checkTarget(destination, context)
    await handOn(this.#options, 'isTransferred', async () => {
      // Told first, so that whoever has the call next counts its changes on from there.
      announcer.transferred()
      await channel.remember(this.#state())
      await channel.transfer(destination, context)
    })
    throw new Ended('the call was transferred')
  }

  async publish(variables: PublishedEvent): Promise<void> {
    const { dialplanEvents, announcer } = this.#options
    const { uuid, channelName: name, createdAt: startedAt } = this.facts
    const event = await dialplanEvents.publish(variables, {
      ...{ uuid, name, tenant: this.identity.tenant?.id, startedAt },
      // As it is when the event is made, which takes a moment.
      get sequence() {
        return announcer.sequence
      },
    })
    if (event?.call_id === uuid) announcer.continueAfter(event.sequence)
  }

  get #dial(): Dialler {
    this.#dialler ??= new Dialler({
      ...this.#options,
      tenant: this.tenant,
      facts: this.facts,
      identity: this.identity,
      legs: this.#options.story.legs,
      results: this.#options.story.results,
      stateWith: (attempt) => {
        this.#prepareTalk()
        return this.#options.story.state(this.#options.node, attempt)
      },
      refuse: (cause, why) => this.refuse(cause, why),
    })
    return this.#dialler
  }

  /** At the last moment before the caller is connected to somebody: in front of that, without a round trip. */
  #prepareTalk(): void {
    const { channel, log } = this.#options
    const { holdMusic } = this.tenant
    this.recorder.start()
    if (holdMusic === undefined || this.#hasHoldMusic) return
    this.#hasHoldMusic = true
    channel.setNow('hold_music', holdMusic).catch((error: unknown) => {
      if (!(error instanceof CallerGone)) log.warn({ err: error }, 'the music on hold was not set')
    })
  }

  #noteMissing(sound: Prompt): void {
    this.log.warn({ sound }, 'a sound could not be played: the call goes on')
  }

  #state(): string {
    return this.#options.story.state(this.#options.node)
  }
}

function checked(sounds: readonly Sound[]): Prompt[] {
  return sounds.map((sound) => prompt(sound))
}
