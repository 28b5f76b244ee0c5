import type { Event } from '../esl/event.js'
import type { CallRecord } from '../store/call-record.js'
import { calledLeg } from './legs/called-leg.js'
import { micros, type ChannelFacts } from './facts.js'
import type { Identity } from './identify.js'
import type { LegDocument } from './legs/leg-document.js'
import { Legs, type Attempt } from './legs/legs.js'
import { openRecordJson } from './open-record.js'
import { callRecord, type CallStory } from './record.js'
import { encodeCallState, type AttemptResult } from './state.js'

/** A call that merely goes on is noted in the journal this often, in ms. */
const signOfLifeMs = 60_000

/** Everything that is known of a call while it lasts: what its record, and its entry in the journal, are made of. */
export class Story {
  readonly facts: ChannelFacts
  readonly legs = new Legs()
  /** As the call began: a transfer changes who is called, not whose call it is. */
  identity: Identity
  /** How many nodes had it before this one. */
  takeovers = 0
  route: string | undefined
  gateway: string | undefined
  isVip = false
  isBlacklisted = false
  /** Why it was refused. */
  refusal: string | undefined
  ending: CallStory['ending']
  /** What this server wrote on the channel last. */
  lastState: string | undefined
  #recordingPath: string | undefined
  #lastEventAt: number
  /** When that was by the monotonic clock here. */
  #lastEventHere = performance.now()
  /** The caller's leg's own document: the legs' will come too. */
  #callersDocument: LegDocument | undefined
  /** What the journal knows of the legs, and when the call's last sign of life was by it. */
  #checkpointed = '0 '
  #checkpointedAt = performance.now()
  #onExact: (() => void) | undefined

  constructor(facts: ChannelFacts, identity: Identity) {
    this.facts = facts
    this.identity = identity
    this.#lastEventAt = facts.createdAt
  }

  observe(event: Event): void {
    this.#lastEventAt = micros(event, 'Event-Date-Timestamp') ?? this.#lastEventAt
    this.#lastEventHere = performance.now()
    this.legs.observe(event)
    if (event.name === 'RECORD_STOP') this.#recordingPath = event.peek('Record-File-Path')
  }

  /** What a leg says of itself, beside the caller's socket. */
  hear(document: LegDocument): void {
    if (document.uuid === document.callUuid) this.#callersDocument = document
    else {
      const leg = calledLeg(document.event)
      if (leg !== undefined) this.legs.hear(leg)
    }
    if (this.legs.areExact) this.#onExact?.()
  }

  /** Whether the switch tells of the call's legs by mod_json_cdr. */
  get isDocumented(): boolean {
    return this.#callersDocument?.source === 'json_cdr'
  }

  /** Waits for the own word of each leg that costs something. @returns whether all are there */
  async exactLegs(withinMs: number): Promise<boolean> {
    if (this.legs.areExact) return true
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, withinMs)
      this.#onExact = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    return this.legs.areExact
  }

  /**
   * @param heardAt when its socket last said anything, by the monotonic clock: an answer to `is it still there` is a
   *   sign of life without an event
   */
  openRecord(heardAt = this.#lastEventHere): unknown {
    const { facts, identity, route, isVip, takeovers, legs } = this
    const sinceMs = Math.max(0, heardAt - this.#lastEventHere)
    return openRecordJson({
      facts,
      identity,
      route,
      isVip,
      takeovers,
      legs: legs.all,
      attempt: legs.attempt,
      lastHeardAt: this.#lastEventAt + Math.floor(sinceMs * 1000),
    })
  }

  /**
   * What whoever has the call next must know, for its channel.
   * @param attempt what is dialled now; @param results how those before it ended
   */
  state(node: string, attempt: Attempt | undefined, results: readonly AttemptResult[]): string {
    const { facts, identity, takeovers, route = '', isVip, legs } = this
    const { direction, caller, called } = identity
    this.lastState = encodeCallState({
      node,
      takeovers,
      tenant: identity.tenant?.id ?? '',
      direction,
      caller,
      called,
      destination: facts.calledNumber,
      route,
      isVip,
      startedAt: facts.createdAt,
      legs: legs.all,
      results,
      attempt,
    })
    return this.lastState
  }

  /** What the journal should know by now, if that is more than it knows. @param heardAt as in `openRecord` */
  checkpoint(heardAt: number): unknown {
    const told = `${this.legs.all.length} ${this.legs.talking?.uuid ?? ''}`
    if (told === this.#checkpointed && heardAt < this.#checkpointedAt + signOfLifeMs) return undefined
    this.#checkpointed = told
    this.#checkpointedAt = heardAt
    return this.openRecord(heardAt)
  }

  /** @param finalEvent CHANNEL_HANGUP_COMPLETE */
  record(finalEvent: Event | undefined): CallRecord {
    const { facts, identity, legs, route, gateway, isVip, isBlacklisted, refusal, ending } = this
    const final = finalEvent ?? this.#callersDocument?.event
    if (final === undefined) legs.close(this.#lastEventAt)
    return callRecord({
      source: finalEvent ? 'session' : (this.#callersDocument?.source ?? 'incomplete'),
      isTakenOver: this.takeovers > 0,
      facts,
      identity,
      legs: legs.all,
      route,
      gateway,
      isVip,
      isBlacklisted,
      refusal,
      recordingPath: this.#recordingPath,
      ending,
      finalEvent: final,
      lastHeardAt: this.#lastEventAt,
    })
  }

  /** Whether somebody has said how the call ended. */
  isToldBy(finalEvent: Event | undefined): boolean {
    return finalEvent !== undefined || this.#callersDocument !== undefined
  }
}
