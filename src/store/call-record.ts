import { parseMoney } from '../billing/money.js'
import type { RateSnapshot } from '../billing/rate-snapshot.js'
import { CommitError } from './errors.js'

/**
 * A call that is over: what becomes its CDR, its charges and its ledger line. Safe to be written as JSON and
 * read back. Moments are µs since 1970, durations ms, money decimal strings of the tenant's currency.
 */
export interface CallRecord {
  /** Version of this shape. */
  readonly v: 1
  readonly callUuid: string
  /** Its id; null when the call could not be put down to any. */
  readonly tenant: string | null
  /** ISO 4217, the tenant's. */
  readonly currency: string | null
  readonly direction: 'inbound' | 'outbound' | 'internal'
  readonly source: 'session' | 'link' | 'json_cdr' | 'incomplete'
  /** Normal form. */
  readonly caller: string
  readonly called: string
  /** As they came. */
  readonly callerRaw: string
  readonly calledRaw: string
  readonly callerName: string
  readonly aLegUuid: string
  readonly bLegUuid: string | null
  readonly startedAt: number
  readonly answeredAt: number | null
  readonly bridgedAt: number | null
  readonly endedAt: number
  readonly durationMs: number
  readonly ringMs: number
  readonly answeredMs: number
  readonly bridgedMs: number
  readonly billedMs: number
  readonly hangupCause: string
  readonly q850Cause: number | null
  readonly sipStatus: number | null
  readonly hungUpBy: 'caller' | 'called' | 'server' | 'switch' | null
  readonly route: string | null
  /** The gateway that answered, or the last one tried. */
  readonly gateway: string | null
  readonly isVip: boolean
  readonly isBlacklisted: boolean
  /** More than one node had it. Absent in records of the first releases: false. */
  readonly isTakenOver?: boolean
  /** Why the call was not let through. */
  readonly refusal: string | null
  readonly sipCallId: string | null
  readonly switchName: string | null
  readonly codec: string | null
  /** Mean opinion score, `4.50`; anything that is no such number is left out of the CDR. */
  readonly mos: string | null
  readonly recordingPath: string | null
  /** Where it can be fetched. Absent: nowhere that is known. */
  readonly recordingUrl?: string
  /** What the tenant pays: the sum of the charges' costs. */
  readonly cost: string
  readonly carrierCost: string | null
  /** Final channel variables, those on the allow-list. */
  readonly variables: Readonly<Record<string, string>>
  readonly charges: readonly Charge[]
}

/** A rate beside its prefix and price: only what is not as in `plainTerms`. */
export type RateTerms = Omit<RateSnapshot, 'prefix' | 'prefixEntered' | 'description' | 'pricePerMinute'>

/** One leg, from its answer to its end, with the rate that it was dialled at. */
export interface Charge {
  readonly legUuid: string
  /** Null: it went to an extension, at the inbound tariff. */
  readonly gateway: string | null
  /** Normal form, as it was dialled. */
  readonly number: string
  readonly prefix: string
  readonly prefixEntered: string
  readonly description: string
  readonly pricePerMinute: string
  readonly terms: RateTerms
  readonly answeredAt: number
  readonly endedAt: number
  /** How long it lasted. */
  readonly billedMs: number
  /** What of that is paid for: at least the rate's minimum, in whole increments; 0 within its grace. */
  readonly chargedMs: number
  readonly cost: string
  readonly carrierCost: string | null
}

/**
 * What no constraint of a table can see.
 *
 * @throws CommitError `refused`
 */
export function checkRecord(record: CallRecord): void {
  // A record may come from a journal that a newer release wrote.
  const version: number = record.v
  if (version !== 1) refuse(record, `is of version ${version}, which this release does not know`)
  let sum = 0n
  try {
    for (const charge of record.charges) sum += parseMoney(charge.cost)
    if (parseMoney(record.cost) !== sum)
      refuse(record, `costs ${record.cost}, but its charges do not add up to that`)
  } catch (error) {
    if (error instanceof RangeError) refuse(record, error.message)
    throw error
  }
}

function refuse(record: CallRecord, why: string): never {
  throw new CommitError('refused', `call ${record.callUuid} ${why}`)
}
