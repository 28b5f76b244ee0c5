import type pg from 'pg'

import type { CallRecord, CommitOptions } from '../store/commit.js'
import { difference, readCommitted, type CommittedCall } from '../store/committed.js'
import { isServerTrouble } from '../store/errors.js'
import { replaceIncomplete } from '../store/replace-incomplete.js'

/**
 * Deals with those of a batch whose call has another record in PostgreSQL. An `incomplete` one, which ends with the
 * last sign of life, has lost against any other, and makes way for a real one. Of real ones most are the same,
 * because an earlier answer was lost, or two sources told the same.
 *
 * @param fresh `callUuid`s that the batch brought
 * @returns those about which nobody should guess, each with why
 * @throws when the server is in trouble
 */
export async function settleOthers<Due extends { readonly record: CallRecord }>(
  pool: pg.Pool,
  due: readonly Due[],
  fresh: ReadonlySet<string>,
  options: CommitOptions = {},
): Promise<ReadonlyMap<Due, string>> {
  const doubtful = new Map<Due, string>()
  const known = knownBefore(due, fresh).filter(({ record }) => record.source !== 'incomplete')
  if (known.length === 0) return doubtful
  const committed = await readCommitted(
    pool,
    known.map(({ record }) => record.callUuid),
  )
  for (const item of known) {
    const why = await settle(pool, item.record, committed.get(item.record.callUuid), options)
    if (why !== undefined) doubtful.set(item, why)
  }
  return doubtful
}

/** @returns why it is set aside; undefined: nothing is left to do */
async function settle(
  pool: pg.Pool,
  record: CallRecord,
  committed: CommittedCall | undefined,
  options: CommitOptions,
): Promise<string | undefined> {
  if (committed?.source !== 'incomplete') return difference(record, committed)
  try {
    if (await replaceIncomplete(pool, record, options)) return undefined
  } catch (error) {
    if (isServerTrouble(error)) throw error
    return error instanceof Error ? error.message : String(error)
  }
  // Another one was faster: the one before in this batch, or another node's.
  const { callUuid } = record
  return difference(record, (await readCommitted(pool, [callUuid])).get(callUuid))
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
