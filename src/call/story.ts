import type { Event } from '../esl/event.js'
import type { CallRecord } from '../store/call-record.js'
import { nothingAnnounced, type Announced } from './announced.js'
import { calledLeg } from './legs/called-leg.js'
import { micros, type ChannelFacts } from './facts.js'
import type { Identity } from './identify.js'
import type { LegDocument } from './legs/leg-document.js'
import { hasTalk, isOwn, Legs, type Attempt } from './legs/legs.js'
import { openRecordJson } from './open-record.js'
import { Progress } from './progress.js'
import { callRecord, type CallStory } from './record.js'
import type { PlannedRecording } from './recording/recording.js'
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
  /** With which it began. */
  routeArguments: Readonly<Record<string, unknown>> = {}
  gateway: string | undefined
  isVip = false
  isBlacklisted = false
  /** Why it was refused. */
  refusal: string | undefined
  ending: CallStory['ending']
  /** How what was dialled so far has ended, by an earlier server too. */
  results: AttemptResult[] = []
  progress = new Progress()
  isGivenBack = false
  /** By an earlier server too. */
  announced: Announced = nothingAnnounced
  /** By its route, to another dialplan. */
  isTransferred = false
  /** How often that was done, by an earlier server too. */
  transfers = 0
  /** As its route wants it; undefined: as the tenant's rules say. */
  isRecorded: boolean | undefined
  /** As an admin wants it, of an earlier server too: whatever its routes and the tenant's rules say. */
  adminRecords: boolean | undefined
  /** The latest that was asked for, by an earlier server too. */
  recording: PlannedRecording | undefined
  /** What this server wrote on the channel last. */
  lastState: string | undefined
  /** Where the switch says that it has recorded, in order. */
  readonly #recordedTo: string[] = []
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
    if (event.name === 'RECORD_STOP') this.#recorded(event.peek('Record-File-Path'))
  }

  #recorded(path: string | undefined): void {
    if (path === undefined) return
    this.#recordedTo.push(path)
    if (path === this.recording?.path) this.recording = { ...this.recording, isOver: true }
  }

  /** µs, by the switch's clock. */
  get lastEventAt(): number {
    return this.#lastEventAt
  }

  /** What a leg says of itself, beside the caller's socket. */
  hear(document: LegDocument): void {
    if (document.uuid === document.callUuid) {
      const { event } = document
      // mod_json_cdr says more than a link.
      if (!this.isDocumented) this.#callersDocument = document
      this.legs.hearCaller(micros(event, 'variable_answer_uepoch'), micros(event, 'variable_end_uepoch'))
    } else {
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
    const { facts, identity, route, isVip, isBlacklisted, takeovers, legs, recording } = this
    const isHandedOn = this.isGivenBack || this.isTransferred
    const sinceMs = Math.max(0, heardAt - this.#lastEventHere)
    return openRecordJson({
      facts,
      identity,
      route,
      isVip,
      ...(isBlacklisted && { isBlacklisted }),
      ...(isHandedOn && { isHandedOn }),
      takeovers,
      legs: legs.all,
      attempt: legs.attempt,
      ...(recording !== undefined && { recording }),
      lastHeardAt: this.#lastEventAt + Math.floor(sinceMs * 1000),
    })
  }

  /**
   * What whoever has the call next must know, for its channel.
   * @param attempt what is dialled now
   */
  state(node: string, attempt?: Attempt): string {
    const { facts, identity, takeovers, route = '', isVip, legs, results, progress, isGivenBack } = this
    const { isBlacklisted, isTransferred, transfers, recording, adminRecords, announced } = this
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
      args: this.routeArguments,
      isVip,
      ...(isBlacklisted && { isBlacklisted }),
      startedAt: facts.createdAt,
      ...(identity.transferor && { transferredBy: identity.transferor.number }),
      ...(facts.bridgedBefore !== undefined && { bridgedBefore: facts.bridgedBefore }),
      // One that talks is its attempt's, until whoever has the call next knows how it ended.
      legs: legs.all.filter((leg) => isOwn(leg) || leg.endedAt !== undefined),
      results,
      steps: progress.steps,
      isGivenBack,
      ...(isTransferred && { isTransferred }),
      ...(transfers > 0 && { transfers }),
      ...(recording !== undefined && { recording }),
      ...(adminRecords !== undefined && { adminRecords }),
      ...(announced !== nothingAnnounced && { announced }),
      attempt: attempt ?? legs.talking?.attempt,
    })
    return this.lastState
  }

  /** What the journal should know by now, if that is more than it knows. @param heardAt as in `openRecord` */
  checkpoint(heardAt: number): unknown {
    const { legs, recording } = this
    const told = `${legs.all.length} ${legs.talking?.uuid ?? ''}${recordingNow(recording)}`
    if (told === this.#checkpointed && heardAt < this.#checkpointedAt + signOfLifeMs) return undefined
    this.#checkpointed = told
    this.#checkpointedAt = heardAt
    return this.openRecord(heardAt)
  }

  /** @param finalEvent CHANNEL_HANGUP_COMPLETE */
  record(finalEvent: Event | undefined): CallRecord {
    const { facts, identity, legs, route, gateway, isVip, isBlacklisted, refusal, ending } = this
    const final = this.lastWord(finalEvent)
    if (final === undefined) legs.close(this.#lastEventAt)
    const recordingPath = this.#recordedPath(finalEvent !== undefined)
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
      recordingPath,
      earlierRecordings: this.#recordedBefore(recordingPath),
      ending,
      finalEvent: final,
      lastHeardAt: this.#lastEventAt,
    })
  }

  /** What was asked for and talked, and of which the switch, whose final word is here, says nothing. */
  get missingRecording(): string | undefined {
    const { recording, takeovers, legs } = this
    const isOurs = this.#recordedTo.length === 0 && takeovers === 0 && hasTalk(legs.all)
    return isOurs && recording?.isOver === false ? recording.path : undefined
  }

  /** What else of the call was recorded for us, oldest first: by an earlier server too, which was told of it then. */
  #recordedBefore(last: string | undefined): string[] {
    const { recording, takeovers, legs } = this
    if (recording === undefined || !hasTalk(legs.all)) return []
    const { earlier = [], path } = recording
    const isThere = (each: string): boolean =>
      this.#recordedTo.includes(each) || (takeovers > 0 && each !== path)
    return [...earlier, path].filter((each) => each !== last && isThere(each))
  }

  /** @param isHeard it was listened to the call up to its end */
  #recordedPath(isHeard: boolean): string | undefined {
    const { recording } = this
    const hasTalked = hasTalk(this.legs.all)
    const told = this.#recordedTo.at(-1)
    // It is there, and empty: nobody was connected.
    if (told !== undefined) return told === recording?.path && !hasTalked ? undefined : told
    if (!hasTalked || (isHeard && this.missingRecording !== undefined)) return undefined
    return recording?.path
  }

  /** What is said of the end of the caller's leg; undefined: nobody has said how the call ended. */
  lastWord(finalEvent: Event | undefined): Event | undefined {
    return finalEvent ?? this.#callersDocument?.event
  }
}

function recordingNow(recording: PlannedRecording | undefined): string {
  return recording === undefined ? '' : ` ${recording.isOver ? 'over' : 'on'} ${recording.path}`
}
