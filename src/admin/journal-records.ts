import { Type, type Static } from '@fastify/type-provider-typebox'
import { formatMoney, parseMoney } from '../billing/money.js'
import { decodeAside, peekRecord, type AsideEntry } from '../journal/entry.js'
import { JournalError } from '../journal/errors.js'
import type { ShelvedRecord } from '../journal/aside-shelf.js'
import { callFates, type DiscardedRecord } from '../store/discarded-records.js'
import { partsOf, type RecordParts } from '../store/record-parts.js'
import { milliseconds, moment, money, nullable } from './schemas.js'

/** How call records that are set aside, and those that were discarded, look in the API. */

/** Of a record that cannot be read. */
const longestText = 2_000

const text = (description: string) => nullable(Type.String(), { description })
const time = (description: string) => nullable(moment(description))

const callSchema = Type.Object(
  {
    call_uuid: text('Null, here as below: the record does not say, or not as it must'),
    tenant: text('Its id'),
    source: text('Who made the record'),
    direction: nullable(Type.Enum(['inbound', 'outbound', 'internal'])),
    caller: text('In normal form'),
    called: text('In normal form'),
    started_at: time('When it began'),
    answered_at: time('When it was answered'),
    ended_at: time('When it was over'),
    billed_ms: nullable(milliseconds('How long its charged legs lasted')),
    cost: nullable(money('What the record would charge')),
    currency: text('ISO 4217'),
    hangup_cause: text('As FreeSWITCH names it'),
  },
  { additionalProperties: false, description: 'What can be read of the record' },
)

const exampleCall: Static<typeof callSchema> = {
  call_uuid: '0b7e7f4e-2f0a-4c5b-9f3e-8a3f0f9d2a10',
  tenant: 'demo',
  source: 'json_cdr',
  direction: 'outbound',
  caller: '1000',
  called: '84901234567',
  started_at: '2025-01-31T08:00:00.000Z',
  answered_at: '2025-01-31T08:00:04.000Z',
  ended_at: '2025-01-31T08:01:04.000Z',
  billed_ms: 60000,
  cost: '500.00',
  currency: 'VND',
  hangup_cause: 'NORMAL_CLEARING',
}

const exampleId = '1738310464123456-0f9d2a108a3f'
const exampleReason =
  'call 0b7e7f4e-2f0a-4c5b-9f3e-8a3f0f9d2a10 has a record already, which costs 480.00; this one costs 500.00'

const ofAside = {
  id: Type.String({ description: 'No other record has it, on any node', examples: [exampleId] }),
  reason: text('Why it cannot be delivered; null: that cannot be read'),
  set_aside_at: time('When that was found'),
  call: callSchema,
}

export const asideSchema = Type.Object(
  {
    ...ofAside,
    text: text(
      `The beginning of a record of which not even the call can be read, ${longestText} characters at most`,
    ),
  },
  {
    additionalProperties: false,
    description: 'A call record that is set aside',
    examples: [
      {
        id: exampleId,
        reason: exampleReason,
        set_aside_at: '2025-01-31T08:01:05.000Z',
        call: exampleCall,
        text: null,
      },
    ],
  },
)
export const wholeAsideSchema = Type.Object(
  { ...ofAside, text: Type.String({ description: 'The record as it is in the journal' }) },
  {
    additionalProperties: false,
    description: 'A call record that is set aside',
    examples: [
      {
        ...{
          id: exampleId,
          reason: exampleReason,
          set_aside_at: '2025-01-31T08:01:05.000Z',
          call: exampleCall,
        },
        text: '{"v":1,"record":{"v":1,"callUuid":"0b7e7f4e-2f0a-4c5b-9f3e-8a3f0f9d2a10"}}',
      },
    ],
  },
)

const ofDiscarded = {
  id: Type.String({ description: 'As it was while it was set aside' }),
  node: Type.String({ description: 'In whose journal it was' }),
  set_aside_reason: text('Why it could not be delivered'),
  set_aside_at: time('When that was found'),
  call: callSchema,
  reason: Type.String({ description: 'Why it was discarded' }),
  discarded_by: Type.String({ description: 'Id of the API key' }),
  discarded_at: moment('When it was discarded'),
  call_became: Type.Enum([...callFates], {
    description:
      '`closed`: the call has a CDR without cost, of the source `incomplete`; `had_cdr`: it had one of another record, ' +
      'which stands; `unknown`: the record does not say which call it is of, or PostgreSQL cannot hold it',
  }),
  released: money("What the call held of its tenant's money until then"),
  restored_by: text('Id of the API key that put it back into a journal'),
  restored_at: time('When it was put back'),
}

const exampleDiscarded = {
  id: exampleId,
  node: '8a3f0f9d2a100b7e',
  set_aside_reason: exampleReason,
  set_aside_at: '2025-01-31T08:01:05.000Z',
  call: exampleCall,
  reason: "The carrier's invoice says 480",
  discarded_by: '5c3b1f6a-1d0f-4f3e-9a52-0c6f6f8f3b11',
  discarded_at: '2025-01-31T09:00:00.000Z',
  call_became: 'had_cdr',
  released: '0.00',
  restored_by: null,
  restored_at: null,
}

export const discardedSchema = Type.Object(ofDiscarded, {
  additionalProperties: false,
  description: 'A call record that was discarded',
  examples: [exampleDiscarded],
})
export const wholeDiscardedSchema = Type.Object(
  { ...ofDiscarded, text: Type.String({ description: 'The record as it was in the journal' }) },
  {
    additionalProperties: false,
    description: 'A call record that was discarded',
    examples: [{ ...exampleDiscarded, text: '{"v":1,"record":{"v":1}}' }],
  },
)

/** What can be read of a record that is set aside. */
export function partsOfAside(aside: AsideEntry | undefined): RecordParts {
  return partsOf(aside && peekRecord(aside.entry))
}

export function shownAside(record: ShelvedRecord): Static<typeof asideSchema> {
  const parts = partsOfAside(record.aside)
  const isReadable = parts.callUuid !== null
  return { ...asideFields(record, parts), text: isReadable ? null : textOf(record).slice(0, longestText) }
}

export function wholeAside(record: ShelvedRecord): Static<typeof wholeAsideSchema> {
  return { ...asideFields(record, partsOfAside(record.aside)), text: textOf(record) }
}

export function shownDiscarded(record: DiscardedRecord): Static<typeof discardedSchema> {
  return {
    id: record.id,
    node: record.node,
    set_aside_reason: record.setAsideReason,
    set_aside_at: record.setAsideAt?.toISOString() ?? null,
    call: shownCall(partsOfAside(asideOf(record.entry))),
    reason: record.reason,
    discarded_by: record.discardedBy,
    discarded_at: record.discardedAt.toISOString(),
    call_became: record.callBecame,
    released: record.released,
    restored_by: record.restoredBy,
    restored_at: record.restoredAt?.toISOString() ?? null,
  }
}

export function wholeDiscarded(record: DiscardedRecord): Static<typeof wholeDiscardedSchema> {
  return { ...shownDiscarded(record), text: asideOf(record.entry)?.entry ?? record.entry }
}

function asideFields({ id, aside }: ShelvedRecord, parts: RecordParts) {
  return {
    id,
    reason: aside?.reason ?? null,
    set_aside_at: asMoment(aside?.at),
    call: shownCall(parts),
  }
}

function textOf({ aside, text }: ShelvedRecord): string {
  return aside?.entry ?? text
}

function asideOf(entry: string): AsideEntry | undefined {
  try {
    return decodeAside(entry)
  } catch (error) {
    if (error instanceof JournalError) return undefined
    throw error
  }
}

function shownCall(parts: RecordParts): Static<typeof callSchema> {
  return {
    call_uuid: parts.callUuid,
    tenant: parts.tenant,
    source: parts.source,
    direction: parts.direction,
    caller: parts.caller,
    called: parts.called,
    started_at: fromMicros(parts.startedAt),
    answered_at: fromMicros(parts.answeredAt),
    ended_at: fromMicros(parts.endedAt),
    billed_ms: parts.billedMs,
    cost: parts.cost === null ? null : formatMoney(parseMoney(parts.cost)),
    currency: parts.currency,
    hangup_cause: parts.hangupCause,
  }
}

function fromMicros(micros: number | null): string | null {
  return micros === null ? null : new Date(Math.floor(micros / 1000)).toISOString()
}

/** What an entry says may be anything. */
export function asMoment(at: string | undefined): string | null {
  const ms = Date.parse(at ?? '')
  return Number.isNaN(ms) ? null : new Date(ms).toISOString()
}
