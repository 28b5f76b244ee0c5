import type { Logger } from 'pino'
import type { Journal } from '../../journal/journal.js'
import type { Catalog } from '../../store/catalog.js'
import { micros } from '../facts.js'
import { documentFromText, type LegDocument } from '../legs/leg-document.js'
import { outliving, type CallersEnd } from '../legs/outliving.js'
import { readOpenRecord, seenUntil } from '../open-record.js'
import { callersDocument, legsOf, type Told } from './second-record.js'
import type { Elsewhere } from '../session-dependencies.js'
import { callStateOf, legStateOf } from '../state.js'

export interface LegWordsOptions {
  readonly journal: Journal
  readonly catalog: Pick<Catalog, 'tenant'>
  readonly elsewhere: Pick<Elsewhere, 'has' | 'heardAt' | 'isLinked'>
  readonly log: Logger
  /** Calls of which links tell, at most. */
  readonly maxCalls: number
}

/**
 * What the switch said of the legs of calls that have no record yet: mod_json_cdr's documents are in the journal, what
 * came over links is in memory alone, and not without bounds.
 */
export class LegWords {
  readonly #options: LegWordsOptions
  /** What links told, by call and leg. */
  readonly #told = new Map<string, Map<string, LegDocument>>()
  /** Calls whose legs talk on: when that was noted last, by the monotonic clock. */
  readonly #talking = new Map<string, number>()

  constructor(options: LegWordsOptions) {
    this.#options = options
  }

  /** Holds what a link told. @returns whether it is the first word of this leg that came so */
  hold(document: LegDocument): boolean {
    const { callUuid, uuid } = document
    const legs = this.#told.get(callUuid) ?? new Map<string, LegDocument>()
    const isNew = !legs.has(uuid)
    this.#told.set(callUuid, legs.set(uuid, document))
    const [oldest] = this.#told.keys()
    if (this.#told.size > this.#options.maxCalls && oldest !== undefined) {
      this.#told.delete(oldest)
      this.#options.log.warn(
        { call: oldest },
        'links told of more calls than are held: the oldest one is forgotten',
      )
    }
    return isNew
  }

  /** mod_json_cdr's word counts before a link's: it says more. */
  of(callUuid: string): Told {
    const { journal, log } = this.#options
    const documents = new Map(this.#told.get(callUuid))
    for (const { legUuid, text } of journal.documentsOf(callUuid)) {
      try {
        documents.set(legUuid, documentFromText(text, callUuid))
      } catch (error) {
        log.warn({ err: error, call: callUuid, leg: legUuid }, 'what was told of a leg cannot be read')
      }
    }
    const open = readOpenRecord(journal.openCallOf(callUuid)?.data)
    return { callUuid, documents: [...documents.values()], open }
  }

  /** Whether the journal has documents of the call: they came while its record was written. */
  areKept(callUuid: string): boolean {
    return this.#options.journal.documentsOf(callUuid).length > 0
  }

  /** Whether legs of a call talk on without its caller: its record waits for them. */
  async talkOn(told: Told): Promise<boolean> {
    const { elsewhere, catalog } = this.#options
    const { callUuid, documents, open } = told
    const callers = callersDocument(told)
    const tenant = catalog.tenant((callers && callStateOf(callers.event)?.tenant) ?? open?.tenant ?? '')
    const switchName = open?.facts.switchName ?? documents[0]?.event.peek('FreeSWITCH-Switchname')
    const end: CallersEnd = {
      switchName,
      legs: legsOf(told),
      final: callers?.event,
      isDocumented: callers?.source === 'json_cdr',
      maxTalkMs: (tenant?.maxCallSeconds ?? 0) * 1000,
    }
    const heard = new Set(documents.map(({ uuid }) => uuid))
    const { isWaitedFor, isUntold, there } = await outliving(end, elsewhere, heard)
    // One that talked at the last look, and is over now, may be about to say so.
    const isAwaited = isWaitedFor || (isUntold && this.#talking.has(callUuid))
    if (isWaitedFor) await this.#seen(callUuid, there, elsewhere.heardAt(switchName))
    else this.#talking.delete(callUuid)
    return isAwaited
  }

  /**
   * Should nobody tell of the ends of legs that talk on, they are charged as far as they were there. On the disk now and
   * then, for whoever comes after this server.
   */
  async #seen(callUuid: string, legUuids: readonly string[], at: number): Promise<void> {
    const { journal } = this.#options
    const now = performance.now()
    const last = this.#talking.get(callUuid) ?? -Infinity
    const isDue = legUuids.length > 0 && now - last >= signOfLifeMs
    this.#talking.set(callUuid, isDue ? now : last)
    if (!isDue) return
    const open = readOpenRecord(journal.openCallOf(callUuid)?.data)
    if (open !== undefined)
      await journal.rememberCalls([{ uuid: callUuid, data: seenUntil(open, legUuids, at) }])
  }

  /** What links told of the call is let go. */
  forget(callUuid: string): void {
    this.#told.delete(callUuid)
    this.#talking.delete(callUuid)
  }
}

/** A leg that merely talks on is noted this often, in ms. */
const signOfLifeMs = 60_000
/** After this long, in ms, nobody will tell of the caller's leg any more. */
const longestWaitMs = 24 * 60 * 60 * 1000

/** Whether the last word of a call, without one of its caller's leg, is so old that it is the last one. */
export function isLongOver(
  { documents, open }: Told,
  catalog: Pick<Catalog, 'tenant'>,
  graceMs: number,
): boolean {
  if (documents.length === 0) return open === undefined
  const longestSeconds = documents.map(({ event }) => {
    const leg = legStateOf(event)
    return (leg && catalog.tenant(leg.tenant)?.maxCallSeconds) ?? 0
  })
  const waitMs = Math.max(longestWaitMs, Math.max(...longestSeconds) * 1000 + graceMs)
  const ends = documents.map(({ event }) => micros(event, 'variable_end_uepoch') ?? 0)
  return Date.now() - Math.max(...ends) / 1000 > waitMs
}
