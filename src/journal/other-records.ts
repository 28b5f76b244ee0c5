import type pg from 'pg'

import type { CallRecord } from '../store/call-record.js'
import { difference, readCommitted } from '../store/committed.js'

/**
 * Those of a batch whose call has another record in PostgreSQL, each with why they are not it. Most that are known
 * there are the same, because an earlier answer was lost.
 *
 * @param fresh `callUuid`s that the batch brought
 */
export async function otherRecords<Due extends { readonly record: CallRecord }>(
  pool: pg.Pool,
  due: readonly Due[],
  fresh: ReadonlySet<string>,
): Promise<ReadonlyMap<Due, string>> {
  const others = new Map<Due, string>()
  const known = knownBefore(due, fresh)
  if (known.length === 0) return others
  const committed = await readCommitted(
    pool,
    known.map(({ record }) => record.callUuid),
  )
  for (const item of known) {
    const why = difference(item.record, committed.get(item.record.callUuid))
    if (why !== undefined) others.set(item, why)
  }
  return others
}

/** Those whose call was committed by another batch, or by an earlier one of this. */
function knownBefore<Due extends { readonly record: CallRecord }>(
  due: readonly Due[],
  fresh: ReadonlySet<string>,
): Due[] {
  const seen = new Set<string>()
  return due.filter(({ record: { callUuid } }) => {
    const isRepeated = seen.has(callUuid)
    seen.add(callUuid)
    return isRepeated || !fresh.has(callUuid)
  })
}
