import type { Logger } from 'pino'
import { stateVariable, type Channel } from '../channel/channel.js'
import { CallerGone } from '../esl/errors.js'
import type { Event } from '../esl/event.js'
import type { Announcer } from './announcer.js'
import { movedTo, type Moved } from './legs/transferred-leg.js'
import type { ServedCall } from './served-call.js'
import type { SessionDependencies } from './session-dependencies.js'
import { decodeCallState, isHandedOn, type CallState } from './state.js'
import type { Story } from './story.js'

/** Of a call of no tenant, in s. */
export const longestSeconds = 14_400

export interface HoldingOptions {
  readonly story: Story
  readonly channel: Channel
  readonly call: ServedCall
  readonly announcer: Announcer
  /** What its last server left on the channel. */
  readonly state: CallState | undefined
  readonly dependencies: SessionDependencies
  readonly log: Logger
}

/** Who has a call: its session has it from a server before, or loses it to another dialplan, session or server. */
export class Holding {
  readonly #options: HoldingOptions
  #isSuperseded = false
  #isTransferred = false
  /** What runs on its channel is broken off, as it is sent to another part of its dialplan from here. */
  #isSentOn = false

  constructor(options: HoldingOptions) {
    this.#options = options
  }

  /** It was a server's before that has not given it back: neither looked up nor refused, nor told of, a second time. */
  get isResumed(): boolean {
    const { story, state } = this.#options
    return story.facts.transferredFrom !== undefined || (state !== undefined && !state.isGivenBack)
  }

  /** It has begun somewhere before, even if that server has given it back since. */
  get isKnown(): boolean {
    return this.isResumed || this.#options.state !== undefined
  }

  /** Its dialplan does something else with it, unasked or as its route wanted it. */
  get isLeft(): boolean {
    return this.#isTransferred
  }

  /** Its session, which does no more than that, waits for the call's end, however far that is. */
  get onlyWaits(): boolean {
    return this.#isTransferred || this.#isSuperseded
  }

  /** The call was another server's, another call's, or this server's before it died. */
  begin(): void {
    const { state, story } = this.#options
    if (state !== undefined) this.#takeOver(state)
    else if (story.facts.transferredFrom !== undefined) this.#claim()
  }

  #takeOver(state: CallState): void {
    const { story, call, dependencies, log } = this.#options
    const { elsewhere } = dependencies
    log.info(
      { from: state.node, takeovers: story.takeovers },
      isHandedOn(state) ? 'the call has come back' : 'the call is taken over',
    )
    this.#claim()
    for (const document of elsewhere.told(story.facts.uuid)) story.hear(document)
    if (story.legs.own !== undefined) call.takeUp()
    for (const { uuid } of story.legs.left) elsewhere.lookAfter(story.facts.switchName, uuid)
  }

  /** At once, so that nobody takes it for a call of its last server, or for a leg that nobody looks after. */
  #claim(): void {
    const { story, channel, dependencies } = this.#options
    const { elsewhere, node } = dependencies
    elsewhere.taken(story.facts.uuid, story.identity.tenant?.maxCallSeconds ?? longestSeconds)
    channel.remember(story.state(node)).catch(ignoreGone)
  }

  /**
   * The socket stays open, and says nothing more: while the call lasts, closing it would take the call away from its
   * new one (test/recordings/README.md, "Ending"), and nobody can close it before that one has it.
   *
   * @param heir of the new socket's session
   */
  supersede(heir: Story): void {
    this.#isSuperseded = true
    this.#options.announcer.handOver(heir)
    this.#options.call.dialler?.leave()
    this.#options.channel.leave('the call has come back on another socket')
  }

  observe(event: Event): void {
    const to = this.#isSentOn && endsWhatRuns(event) ? 'dialplan' : movedTo(event, this.#options.story.facts)
    if (to !== undefined) this.transferred(to)
  }

  /**
   * Has its dialplan lead the call elsewhere, whatever its route does now. It stays one call: what talked is charged to
   * it, and it comes back with a destination of its own, to this server or another one.
   *
   * @param destination a number as it is dialled; @throws CommandRefused: it stays where it is
   */
  async sendOn(destination: string): Promise<void> {
    const { story, channel, announcer, dependencies } = this.#options
    const { legs } = story
    const { ending } = story
    story.isTransferred = true
    story.transfers++
    // Told first, so that whoever has the call next counts its changes on from there.
    announcer.transferred()
    try {
      // What is dialled now may be answered yet.
      const state = story.state(dependencies.node, legs.talking?.attempt ?? legs.attempt)
      await channel.sendAway(destination, state)
    } catch (error) {
      if (error instanceof CallerGone) throw error
      story.isTransferred = false
      story.transfers--
      announcer.stays()
      await channel.remember(story.state(dependencies.node, legs.talking?.attempt ?? legs.attempt))
      throw error
    }
    this.#isSentOn = true
    // A route that came to its end meanwhile has not ended the call.
    story.ending = ending
    // The end of what was dialled is told yet, and is for its books; a route that waits for something else is let go.
    if (channel.waitsFor === undefined) this.transferred()
  }

  /** Its dialplan, or whoever talks to it then, may lead it to a socket again: it is left alone, and its end awaited. */
  transferred(to: Moved = 'dialplan'): void {
    if (this.#isTransferred) return
    this.#isTransferred = true
    const { story, call, channel, announcer, dependencies, log } = this.#options
    const { uuid, switchName } = story.facts
    log.info({ to }, 'the call was transferred')
    announcer.transferred()
    if (to === 'talk') this.#connectedElsewhere()
    story.legs.dialling(undefined)
    call.dialler?.leave()
    dependencies.elsewhere.lookAfter(switchName, uuid)
    channel.leave('the call was transferred')
  }

  /** Whom he talked to has connected the caller with somebody else: whoever gets the call after that talk must know. */
  #connectedElsewhere(): void {
    const { story, call, channel, dependencies, log } = this.#options
    call.dialler?.talkedElsewhere()
    channel.remember(story.state(dependencies.node)).catch((error: unknown) => {
      if (!(error instanceof CallerGone))
        log.warn({ err: error }, 'its channel does not know of the transfer')
    })
  }

  /** @param finalEvent tells who had the call last */
  isAnothers(finalEvent: Event | undefined): boolean {
    const { story, dependencies } = this.#options
    const text = finalEvent?.peek(`variable_${stateVariable}`)
    const state = text === story.lastState ? undefined : decodeCallState(text)
    return this.#isSuperseded || (state !== undefined && state.node !== dependencies.node)
  }

  /** Who had the call last tells of its end, and has its place among those of its tenant. */
  async letGo(): Promise<void> {
    const { story, channel, dependencies } = this.#options
    const { tenant } = story.identity
    // On this node it is the new session's.
    if (tenant !== undefined && !this.#isSuperseded) dependencies.limits.forget(tenant.id, story.facts.uuid)
    await channel.exit().catch(ignoreGone)
  }
}

function endsWhatRuns({ name }: Event): boolean {
  return name === 'CHANNEL_UNBRIDGE' || name === 'CHANNEL_EXECUTE_COMPLETE'
}

/** What was asked of a call that is over by then need not be done any more; other refusals are in the log. */
export function ignoreGone(): void {
  // Nothing is left to do.
}
