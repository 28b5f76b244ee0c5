import type pg from 'pg'
import type { Logger } from 'pino'
import type { Event } from '../../esl/event.js'
import type { Journal } from '../../journal/journal.js'
import type { Country } from '../../numbering/normal-form.js'
import type { CallRecord } from '../../store/call-record.js'
import type { Catalog } from '../../store/catalog.js'
import { readCommitted, type CommittedCall } from '../../store/committed.js'
import { LegCheck } from './leg-check.js'
import {
  callsOf,
  documentText,
  endedLeg,
  isMarked,
  shortened,
  type LegDocument,
} from '../legs/leg-document.js'
import { isLongOver, LegWords } from './leg-words.js'
import type { LiveCalls } from '../live.js'
import type { Recordings } from '../recording/recording.js'
import { callersDocument, secondRecord, type Told } from './second-record.js'
import type { Elsewhere } from '../session-dependencies.js'
import { WaitingCalls, type WaitingCall } from './waiting-calls.js'

export interface SecondSourceOptions {
  readonly journal: Journal
  /** Where a record goes: to the journal, with what is told of it. */
  readonly records: { append(record: CallRecord): Promise<void> }
  /** Where it is asked which calls are committed. */
  readonly pool: pg.Pool
  readonly catalog: Catalog
  readonly live: LiveCalls
  readonly elsewhere: Pick<Elsewhere, 'has' | 'heardAt' | 'isLinked'>
  readonly log: Logger
  readonly trustedProfiles: ReadonlySet<string>
  readonly defaultCountry: Country
  /** Undefined: nothing is recorded. */
  readonly recordings?: Recordings | undefined
  /** How long the record of a call's session is waited for while PostgreSQL can be reached, in ms. */
  readonly graceMs: number
  /** Calls of which links tell, at most: that is held in memory alone. Default 20,000. */
  readonly maxTold?: number
  /** How often it is looked what is due, in ms. Default a quarter of the grace, 1,000 at most. */
  readonly sweepMs?: number
}

/**
 * The second source of CDRs: what the switch itself says of a call's legs when they are over, by mod_json_cdr and over
 * the links. It waits for the record of the call's session; if that does not come, it makes one.
 */
export class SecondSource {
  readonly #options: SecondSourceOptions
  readonly #words: LegWords
  readonly #waiting: WaitingCalls
  readonly #check: LegCheck
  #timer: NodeJS.Timeout | undefined
  #sweep: Promise<void> | undefined
  #isAway = false
  #isClosed = false

  constructor(options: SecondSourceOptions) {
    this.#options = options
    this.#words = new LegWords({ ...options, maxCalls: options.maxTold ?? 20_000 })
    this.#check = new LegCheck(options.log)
    this.#waiting = new WaitingCalls(options.graceMs)
  }

  /** Calls that wait for their session's record, or for more to be told of them. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Takes up what the journal has, and begins. May be called again. */
  start(): void {
    if (this.#timer !== undefined || this.#isClosed) return
    const { journal, graceMs, sweepMs = Math.min(1_000, graceMs / 4) } = this.#options
    for (const { callUuid, legUuid } of journal.documents()) this.#waiting.add(callUuid).kept.add(legUuid)
    this.#timer = setInterval(() => {
      this.#sweep ??= this.#look().finally(() => {
        this.#sweep = undefined
      })
    }, sweepMs).unref()
  }

  /** What is not done yet stays in the journal, which must be open until then. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
    await this.#sweep
  }

  /**
   * Takes a document of mod_json_cdr. Resolves when it is on the disk, or need not be: it is of no call of ours, or
   * of one whose record is there. The same one may come again.
   *
   * @throws JournalError `full`, `closed`: the switch must keep it itself
   */
  async receive(document: LegDocument): Promise<void> {
    await Promise.all(callsOf(document).map((each) => this.#keep(each)))
  }

  async #keep(document: LegDocument): Promise<void> {
    if (!this.#concerns(document)) return
    const { callUuid, uuid } = document
    // In one turn with the write: the record that this may complete then takes the document off the disk again.
    const kept = this.#options.journal.keepDocument(callUuid, uuid, documentText(document))
    this.#options.live.get(callUuid)?.hear(document)
    await kept
    const call = this.#waiting.add(callUuid)
    if (!call.kept.has(uuid)) this.#waiting.postpone(call)
    call.kept.add(uuid)
    if (this.#check.remembers(callUuid)) this.#forgetIfDone(call)
  }

  /** Takes an event of a link; only CHANNEL_HANGUP_COMPLETE says anything here. */
  observe(event: Event): void {
    for (const ended of callsOf(endedLeg(event))) {
      const document = this.#concerns(ended) ? shortened(ended) : undefined
      if (document === undefined) continue
      this.#options.live.get(document.callUuid)?.hear(document)
      const call = this.#waiting.add(document.callUuid)
      if (this.#words.hold(document)) this.#waiting.postpone(call)
    }
  }

  /**
   * The switch no longer knows the call: if nobody tells how it ended, it is closed as it was last seen.
   *
   * @param seenAt µs by the switch's clock: when it was there last
   */
  gone(callUuid: string, seenAt = 0): void {
    if (this.#options.live.has(callUuid) || this.#check.remembers(callUuid)) return
    const call = this.#waiting.add(callUuid)
    if (!call.isGone) this.#waiting.postpone(call)
    call.isGone = true
    call.seenAt = Math.max(call.seenAt, seenAt)
  }

  /** What was told of a call's legs before it had its session here. */
  told(callUuid: string): readonly LegDocument[] {
    return this.#words.of(callUuid).documents
  }

  /** A record was appended to the journal of this node: the call need not be waited for. */
  recorded(record: CallRecord): void {
    // The switch may still say how it ended.
    if (record.source === 'incomplete') return
    this.#check.remember(record)
    const call = this.#waiting.get(record.callUuid)
    if (call !== undefined) this.#forgetIfDone(call)
  }

  /** Whether a document is of a call of ours that has no record here yet. */
  #concerns(document: LegDocument): boolean {
    const { callUuid } = document
    if (this.#check.remembers(callUuid)) {
      this.#check.check(document)
      return false
    }
    const { live, journal } = this.#options
    const isOurs = isMarked(document) || live.has(callUuid) || this.#waiting.has(callUuid)
    return isOurs || journal.openCallOf(callUuid) !== undefined
  }

  #forget({ callUuid }: WaitingCall): void {
    this.#waiting.delete(callUuid)
    this.#words.forget(callUuid)
  }

  /** A document that came while the record was written may still be there. */
  #forgetIfDone(call: WaitingCall): void {
    if (this.#words.areKept(call.callUuid)) this.#waiting.postpone(call)
    else this.#forget(call)
  }

  async #look(): Promise<void> {
    const { live, pool } = this.#options
    const due = this.#waiting.due((callUuid) => live.has(callUuid))
    if (this.#waiting.size === 0) return
    let committed: ReadonlyMap<string, CommittedCall>
    try {
      // Asked also when nothing is due: the others' time runs only while there is an answer.
      committed = await readCommitted(
        pool,
        due.map(({ callUuid }) => callUuid),
      )
    } catch (error) {
      this.#setAway(error)
      // Those who have the calls' records cannot deliver them either, and begin when it is back.
      this.#waiting.postponeAll()
      return
    }
    this.#setAway(undefined)
    for (const call of due)
      if (!live.has(call.callUuid) && !this.#isClosed) this.#settle(call, committed.get(call.callUuid))
  }

  #settle(call: WaitingCall, committed: CommittedCall | undefined): void {
    const { catalog, graceMs } = this.#options
    const told = { ...this.#words.of(call.callUuid), seenAt: call.seenAt }
    const { documents, open } = told
    const isTold = callersDocument(told) !== undefined
    const isDurable = call.kept.size > 0 || open !== undefined
    if (committed !== undefined && committed.source !== 'incomplete') {
      for (const document of documents) this.#check.check(document, committed.charges)
      this.#drop(call, told)
    } else if (isTold || (call.isGone && committed === undefined)) this.#work(call, this.#record(call, told))
    else if (call.isGone && documents.length === 0) this.#drop(call, told)
    else if (!isLongOver(told, catalog, graceMs)) this.#waiting.postpone(call)
    else if (isDurable && committed === undefined) this.#work(call, this.#record(call, told))
    else this.#drop(call, told)
  }

  async #record(call: WaitingCall, told: Told): Promise<void> {
    const { records, log } = this.#options
    if (await this.#words.talkOn(told)) {
      this.#waiting.postpone(call)
      return
    }
    // A leg may have told of its end while it was asked for.
    const record = secondRecord({ ...told, ...this.#words.of(call.callUuid) }, this.#options)
    if (this.#isClosed) return
    if (record === undefined) {
      this.#forget(call)
      return
    }
    await records.append(record)
    const { callUuid, source, tenant, cost, billedMs } = record
    const about = { call: callUuid, source, tenant, billedMs, cost }
    if (source === 'incomplete')
      log.warn(about, 'nobody told how the call ended: it is closed as it was last seen')
    else log.info(about, 'call over, as others than its session tell')
    this.recorded(record)
    if (source === 'incomplete') this.#forgetIfDone(call)
  }

  /** Nothing is to be done for it any more. */
  #drop(call: WaitingCall, { callUuid, open }: Told): void {
    const isInJournal = open !== undefined || this.#words.areKept(callUuid)
    const dropped = isInJournal ? this.#options.journal.dropCall(callUuid) : Promise.resolve()
    this.#work(
      call,
      dropped.then(() => {
        this.#forget(call)
      }),
    )
  }

  /** The others need not wait for what the disk makes wait. */
  #work(call: WaitingCall, work: Promise<void>): void {
    call.isBusy = true
    work
      .catch((error: unknown) => {
        if (this.#isClosed) return
        this.#waiting.postpone(call)
        this.#options.log.error({ err: error, call: call.callUuid }, 'a call was not closed; trying again')
      })
      .finally(() => {
        call.isBusy = false
      })
  }

  /** Once when the database goes, once when it is back. */
  #setAway(error: unknown): void {
    const isAway = error !== undefined
    if (isAway === this.#isAway) return
    this.#isAway = isAway
    const { waiting } = this
    const { log } = this.#options
    if (isAway) log.warn({ err: error, waiting }, 'PostgreSQL does not answer: other sources of CDRs wait')
    else log.info({ waiting }, 'PostgreSQL answers again: other sources of CDRs go on')
  }
}
