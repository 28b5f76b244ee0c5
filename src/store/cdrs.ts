import type pg from 'pg'

import {
  conditionsOf,
  isFoundByIndex,
  matchesNothing,
  numberConditions,
  Parameters,
  timeConditions,
  type CdrFilters,
} from './cdr-filters.js'
import {
  cdrOutputs,
  cdrView,
  chargeOutputs,
  chargeView,
  type CdrRow,
  type CdrView,
  type ChargeRow,
  type ChargeView,
} from './cdr-view.js'
import { anyText, pageOf, readCursor, type Page } from './cursor.js'
import { withinTime } from './database.js'

export { termsView, withoutCarrierCosts, type CdrView, type ChargeView, type TermsView } from './cdr-view.js'

export interface CdrQuery extends CdrFilters {
  /** CDRs a page. */
  readonly limit: number
  /** `next` of the page before. */
  readonly cursor?: string
}

/** How long PostgreSQL may look for a page, in ms; what is found by an index takes a few. */
const pageTimeoutMs = 10_000
/** Calls that are read at once for an export: more would keep everything else from its turn. */
const portion = 500

/** µs since 1970. */
const moment = /^-?[0-9]{1,16}$/

/**
 * CDRs, the latest first (by their start, then by call_uuid). Pages by keyset: what is committed meanwhile neither
 * repeats nor hides an entry.
 *
 * @throws CursorError, or TooMuchError when nothing helps to find them
 */
export async function listCdrs(pool: pg.Pool, query: CdrQuery): Promise<Page<CdrView>> {
  const { limit, cursor, ...filters } = query
  const place = cursor === undefined ? undefined : readCursor(cursor, [moment, anyText])
  if (matchesNothing(filters)) return { items: [], next: null }
  const { text, values } = pageQuery(filters, place, limit)
  const { rows, charges } = await withinTime(pool, pageTimeoutMs, async (client) => {
    const { rows } = await client.query<CdrRow & { readonly started_us: string }>(text, values)
    const shown = rows.slice(0, limit).map((row) => row.call_uuid)
    return { rows, charges: await chargesOf(client, shown) }
  })
  const placed = rows.map(({ started_us: startedAtUs, ...row }) => ({
    row,
    place: [startedAtUs, row.call_uuid],
  }))
  return pageOf(
    placed,
    limit,
    ({ row }) => cdrView(row, charges.get(row.call_uuid) ?? []),
    ({ place }) => place,
  )
}

/** @param place of the last one before: µs since 1970, and its call_uuid */
function pageQuery(
  filters: CdrFilters,
  place: readonly [string, string] | undefined,
  limit: number,
): { readonly text: string; readonly values: unknown[] } {
  const parameters = new Parameters()
  const months = timeConditions(filters, parameters)
  const conditions = conditionsOf(filters, parameters)
  if (place !== undefined) {
    const startedAt = `to_timestamp(${parameters.add(place[0])}::float8 / 1e6)`
    conditions.push(`(cdrs.started_at, call_uuid) < (${startedAt}, ${parameters.add(place[1])})`)
    // It says less, but of a pair PostgreSQL does not see which months it rules out.
    months.push(`cdrs.started_at <= ${startedAt}`)
  }
  // One more than asked for says whether there is a next page.
  const most = parameters.add(limit + 1)
  const isIndexed = isFoundByIndex(filters)
  // Each in order, and no longer than the page: PostgreSQL does not see by itself that the index has them so.
  const found = numberConditions(filters, parameters).map(
    (ofNumbers) =>
      `(SELECT ${isIndexed ? 'cdrs.*' : 'call_uuid, cdrs.started_at'} FROM cdrs
      ${where([...months, ...conditions, ...ofNumbers])}
      ORDER BY cdrs.started_at DESC, call_uuid DESC LIMIT ${most})`,
  )
  const inOrder = 'ORDER BY cdrs.started_at DESC, call_uuid DESC'
  const outputs = `${cdrOutputs}, (extract(epoch FROM cdrs.started_at) * 1000000)::bigint AS started_us`
  const page = found.join(' UNION ALL ')
  // Where many are looked at to find a few, that is done in the index alone; only those of the page are read.
  const text = isIndexed
    ? `SELECT ${outputs} FROM (${page}) cdrs ${inOrder} LIMIT ${most}`
    : `WITH page AS MATERIALIZED (
        SELECT call_uuid, started_at FROM (${page}) found ORDER BY started_at DESC, call_uuid DESC LIMIT ${most}
      )
      SELECT ${outputs} FROM page JOIN cdrs USING (call_uuid, started_at) ${where(months)} ${inOrder}`
  return { text, values: parameters.values }
}

function where(conditions: readonly string[]): string {
  return conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : ''
}

/**
 * All that apply, the latest first, in portions. Page after page: whoever takes them slowly holds nothing of
 * PostgreSQL's meanwhile, no connection, and no old state of the tables that could not be cleaned up. What is committed
 * while it runs may be in it or not; nothing is in it twice.
 *
 * @throws what `listCdrs` does
 */
export async function* allCdrs(pool: pg.Pool, filters: CdrFilters): AsyncGenerator<readonly CdrView[], void> {
  let cursor: string | null = null
  do {
    const page: Page<CdrView> = await listCdrs(pool, {
      ...filters,
      limit: portion,
      ...(cursor !== null && { cursor }),
    })
    yield page.items
    cursor = page.next
  } while (cursor !== null)
}

/** @returns undefined when there is no CDR of this call */
export async function readCdr(db: pg.Pool | pg.ClientBase, callUuid: string): Promise<CdrView | undefined> {
  if (matchesNothing({ callUuid })) return undefined
  // The key says in which month to look.
  const { rows } = await db.query<CdrRow>(
    `SELECT ${cdrOutputs} FROM call_keys JOIN cdrs USING (call_uuid, started_at) WHERE call_uuid = $1`,
    [callUuid],
  )
  const [row] = rows
  return row && cdrView(row, (await chargesOf(db, [callUuid])).get(callUuid) ?? [])
}

async function chargesOf(
  db: pg.Pool | pg.ClientBase,
  callUuids: readonly string[],
): Promise<Map<string, ChargeView[]>> {
  const byCall = new Map<string, ChargeView[]>()
  if (callUuids.length === 0) return byCall
  const { rows } = await db.query<ChargeRow & { readonly call_uuid: string }>(
    `SELECT call_uuid, ${chargeOutputs} FROM charges WHERE call_uuid = ANY($1)
    ORDER BY call_uuid, charges.answered_at, leg_uuid`,
    [callUuids],
  )
  for (const { call_uuid: callUuid, ...charge } of rows) {
    const charges = byCall.get(callUuid) ?? []
    byCall.set(callUuid, charges)
    charges.push(chargeView(charge))
  }
  return byCall
}
