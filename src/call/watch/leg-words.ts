import type { Logger } from 'pino'
import type { Journal } from '../../journal/journal.js'
import type { Catalog } from '../../store/catalog.js'
import { micros } from '../facts.js'
import { documentFromText, type LegDocument } from '../legs/leg-document.js'
import { readOpenRecord } from '../open-record.js'
import { legsOf, type Told } from './second-record.js'
import type { Elsewhere } from '../session-dependencies.js'
import { legStateOf } from '../state.js'

export interface LegWordsOptions {
  readonly journal: Journal
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
        documents.set(legUuid, documentFromText(text))
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

  /** What links told of the call is let go. */
  forget(callUuid: string): void {
    this.#told.delete(callUuid)
  }
}

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

/** Whether a leg is still up of which nothing was heard: it is charged to its own end, of which it will tell. */
export async function talksOn(told: Told, { has }: Pick<Elsewhere, 'has'>): Promise<boolean> {
  const switchName = told.open?.facts.switchName ?? told.documents[0]?.event.peek('FreeSWITCH-Switchname')
  const unheard = legsOf(told).filter(({ endIsExact }) => !endIsExact)
  const answers = await Promise.all(unheard.map(({ uuid }) => has(switchName, uuid)))
  return answers.includes(true)
}
