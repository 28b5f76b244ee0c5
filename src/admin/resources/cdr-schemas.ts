import { Type, type Static, type TSchema } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { withoutCarrierCosts, type CdrView, type ChargeView, type TermsView } from '../../store/cdrs.js'
import { boundTenant } from '../access.js'
import { milliseconds, moment, money, nullable } from '../schemas.js'
import { transaction } from './transactions.js'

export const text = (description?: string) => Type.String(description === undefined ? {} : { description })

export const terms = Type.Object(
  {
    connection_fee: Type.Optional(money('Once a leg, beside its time')),
    minimum_seconds: Type.Optional(Type.Integer({ description: 'The least time that is paid for' })),
    increment_seconds: Type.Optional(Type.Integer({ description: 'What longer times are rounded up to' })),
    grace_seconds: Type.Optional(Type.Integer({ description: 'A shorter leg is free' })),
    minimum_cost: Type.Optional(money('The least that a leg costs')),
    maximum_cost: Type.Optional(money('The most that a leg costs')),
    rounding: Type.Optional(
      Type.Object(
        { mode: Type.Enum(['up', 'down', 'half_up', 'half_even']), decimals: Type.Integer() },
        { additionalProperties: false },
      ),
    ),
  } satisfies Record<keyof TermsView, TSchema>,
  {
    additionalProperties: false,
    description:
      'The rate beside its price; what is left out is 0 or none, and the rounding half up to 2 decimals',
  },
)

const noCarrier = { description: 'Null: no gateway says, or the key is bound to a tenant' }

const charge = Type.Object(
  {
    leg_uuid: text(),
    gateway: nullable(text('Null: the leg went to an extension, at the inbound tariff')),
    number: text('As it was dialled, in normal form'),
    prefix: text("The rate's prefix in normal form"),
    prefix_entered: text("The rate's prefix as it was entered"),
    description: text(),
    price_per_minute: money('Price of a minute'),
    terms,
    answered_at: moment('When the leg was answered'),
    ended_at: moment('When the leg ended'),
    billed_ms: milliseconds('How long the leg lasted'),
    charged_ms: milliseconds('What of that is paid for: at least the minimum, in whole increments'),
    cost: money('What the tenant pays for the leg'),
    carrier_cost: nullable(money('What the carrier takes for the leg'), noCarrier),
  } satisfies Record<keyof ChargeView, TSchema>,
  { additionalProperties: false },
)

const fields = {
  call_uuid: text(),
  tenant: nullable(text('Null: no tenant was found, and the call was refused')),
  direction: Type.Enum(['inbound', 'outbound', 'internal']),
  caller: text('In normal form'),
  called: text('In normal form'),
  caller_raw: text('As it came'),
  called_raw: text('As it came'),
  caller_name: text(),
  started_at: moment('When the call reached the switch'),
  answered_at: nullable(moment('When the caller was answered')),
  bridged_at: nullable(moment('When the talk began')),
  ended_at: moment('When the call ended'),
  duration_ms: milliseconds('From start to end'),
  ring_ms: milliseconds('From start to answer'),
  answered_ms: milliseconds('From answer to end'),
  bridged_ms: milliseconds('The talk'),
  billed_ms: milliseconds('Charged time of all legs'),
  hangup_cause: text("FreeSWITCH's name of the cause"),
  q850_cause: nullable(Type.Integer()),
  sip_status: nullable(Type.Integer()),
  hung_up_by: nullable(Type.Enum(['caller', 'called', 'server', 'switch'])),
  gateway: nullable(text('The gateway that was used last')),
  route: nullable(text()),
  cost: money('What the tenant pays: the sum of the charges'),
  carrier_cost: nullable(money('What the carriers take'), noCarrier),
  currency: nullable(text('ISO 4217')),
  source: text('Where the record comes from: session, link, json_cdr; incomplete: to its last sign of life'),
  is_vip: Type.Boolean(),
  is_blacklisted: Type.Boolean(),
  taken_over: Type.Boolean({ description: 'More than one node had the call' }),
  refusal: nullable(text('Why the call was refused')),
  a_leg_uuid: text(),
  b_leg_uuid: nullable(text()),
  sip_call_id: nullable(text()),
  switch_name: nullable(text()),
  codec: nullable(text()),
  mos: nullable(text()),
  recording_path: nullable(
    text(
      'Where the switch wrote it, last; `variables.earlier_recordings` says where before, separated by spaces',
    ),
  ),
  recording_url: nullable(text('Where it can be fetched')),
  variables: Type.Record(Type.String(), Type.String(), { description: 'Some variables of the channel' }),
  charges: Type.Array(charge, { description: 'The gateway legs that were charged' }),
} satisfies Record<keyof CdrView, TSchema>

export const example: CdrView = {
  call_uuid: '0d62c7c6-3b0c-4f9e-9d2a-1c6f0e6a8a41',
  tenant: 'demo',
  direction: 'outbound',
  caller: '1000',
  called: '84901234567',
  caller_raw: '1000',
  called_raw: '0901234567',
  caller_name: 'Extension 1000',
  started_at: '2025-01-31T08:00:00.000Z',
  answered_at: '2025-01-31T08:00:05.000Z',
  bridged_at: '2025-01-31T08:00:05.020Z',
  ended_at: '2025-01-31T08:01:05.000Z',
  duration_ms: 65_000,
  ring_ms: 4_200,
  answered_ms: 60_000,
  bridged_ms: 59_980,
  billed_ms: 60_000,
  hangup_cause: 'NORMAL_CLEARING',
  q850_cause: 16,
  sip_status: 200,
  hung_up_by: 'caller',
  gateway: 'carrier1',
  route: 'dial',
  cost: '500.00',
  carrier_cost: '300.00',
  currency: 'VND',
  source: 'session',
  is_vip: false,
  is_blacklisted: false,
  taken_over: false,
  refusal: null,
  a_leg_uuid: '0d62c7c6-3b0c-4f9e-9d2a-1c6f0e6a8a41',
  b_leg_uuid: '5e0a1c2e-76a5-4b0b-8f63-4f0c3b1d2e77',
  sip_call_id: '3c26701f2a1b@192.0.2.17',
  switch_name: 'pbx1',
  codec: 'PCMA',
  mos: '4.50',
  recording_path: '/recordings/demo/2025/01/31/0d62c7c6-3b0c-4f9e-9d2a-1c6f0e6a8a41.wav',
  recording_url: null,
  variables: { sip_user_agent: 'Yealink SIP-T46S' },
  charges: [
    {
      leg_uuid: '5e0a1c2e-76a5-4b0b-8f63-4f0c3b1d2e77',
      gateway: 'carrier1',
      number: '84901234567',
      prefix: '8490',
      prefix_entered: '090',
      description: 'Mobile',
      price_per_minute: '500.00',
      terms: {},
      answered_at: '2025-01-31T08:00:05.000Z',
      ended_at: '2025-01-31T08:01:05.000Z',
      billed_ms: 60_000,
      charged_ms: 60_000,
      cost: '500.00',
      carrier_cost: '300.00',
    },
  ],
}

export const cdr = Type.Unsafe<CdrView>(
  Type.Object(fields, { additionalProperties: false, examples: [example] }),
)

/** How CDRs are shown to who asks: it is not for a tenant to know what the carriers take. */
export function seenBy(request: FastifyRequest): (cdr: CdrView) => CdrView {
  return boundTenant(request) === undefined ? (all) => all : withoutCarrierCosts
}

const lineOfCall = Type.Object(
  { tenant: text('Whose ledger it is in'), ...transaction.properties },
  { additionalProperties: false },
)

const rerating = Type.Object(
  {
    number: Type.Integer({ description: 'Counts up' }),
    reason: text('As it was given'),
    cost_before: money('What the call cost until then'),
    cost: money('What it cost from then on'),
    created_at: moment('When'),
  },
  { additionalProperties: false },
)

/** Where the recordings of a call are. */
const recording = Type.Object(
  {
    path: text('Where the switch wrote it'),
    url: nullable(text('Where it can be fetched')),
    earlier: Type.Array(text(), {
      description: 'Paths of what was recorded of the call before, the oldest first',
    }),
  },
  { additionalProperties: false },
)

export interface CallView extends CdrView {
  readonly recording: Static<typeof recording> | null
  readonly transactions: readonly Static<typeof lineOfCall>[]
  readonly reratings: readonly Static<typeof rerating>[]
}

export const call = Type.Unsafe<CallView>(
  Type.Object(
    {
      ...fields,
      recording: nullable(recording, { description: 'Null: the call was not recorded' }),
      transactions: Type.Array(lineOfCall, { description: 'What the ledger has of it, the first one first' }),
      reratings: Type.Array(rerating, { description: 'How often it was rated anew, the first time first' }),
    },
    {
      additionalProperties: false,
      description: 'One call, all of it',
      examples: [
        {
          ...example,
          recording: { path: example.recording_path, url: null, earlier: [] },
          transactions: [
            {
              tenant: 'demo',
              ...(transaction as { examples?: object[] }).examples?.[0],
              kind: 'debit',
              amount: '-500.00',
              balance_after: '999500.00',
              description: 'Call cost',
              call_uuid: example.call_uuid,
              idempotency_key: null,
            },
          ],
          reratings: [],
        },
      ],
    },
  ),
)

export const totals = Type.Object(
  {
    calls: Type.Integer(),
    answered: Type.Integer({ description: 'Calls whose caller was answered' }),
    answer_seizure_ratio: nullable(Type.Number({ minimum: 0, maximum: 1 }), {
      description: 'answered / calls, to 4 decimals; null: there were none',
    }),
    duration_ms: milliseconds('From start to end'),
    talk_ms: milliseconds('The talks'),
    billed_ms: milliseconds('Charged time of all legs'),
    money: Type.Array(
      Type.Object(
        {
          currency: text('ISO 4217'),
          cost: money('What the tenants pay'),
          carrier_cost: nullable(money('What the carriers take, as far as their gateways say'), {
            description: 'Null: not for a key that is bound to a tenant',
          }),
        },
        { additionalProperties: false },
      ),
      { description: 'One for each currency' },
    ),
  },
  {
    additionalProperties: false,
    description: 'What the calls come to',
    examples: [
      {
        calls: 1200,
        answered: 780,
        answer_seizure_ratio: 0.65,
        duration_ms: 61_000_000,
        talk_ms: 46_800_000,
        billed_ms: 46_000_000,
        money: [{ currency: 'VND', cost: '383333.50', carrier_cost: '230000.00' }],
      },
    ],
  },
)
