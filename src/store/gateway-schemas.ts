import { Type, type Static } from 'typebox'
import {
  amount,
  callerIdName,
  callerIdNumber,
  closed,
  count,
  optional,
  orNull,
  tenantId,
  text,
  typedPrefix,
  type FieldsOf,
} from './fields.js'

const mostPriority = 1_000_000

/** It becomes a part of a dial string. */
const name = text('^[0-9A-Za-z._-]{1,64}$', '1 to 64 letters, digits, ., _ and -', {
  description: 'As the switches know it: sofia/gateway/NAME',
  examples: ['carrier1'],
})

const others = {
  prefix: typedPrefix(
    "Of the numbers that it serves, as it is dialled in the tenant's country or in normal form; empty: of all",
  ),
  priority: count('Of several for a number the lowest is tried first. 100 unless given', {
    minimum: -mostPriority,
    maximum: mostPriority,
  }),
  carrier_cost_per_minute: orNull(
    amount('Money'),
    "What the carrier takes, in the tenant's currency. Null: not known, or hidden from a key that is bound to a tenant",
  ),
  max_calls: orNull(
    count('Calls'),
    'Calls at once over all servers, whosever; of several gateways of one name the smallest counts. 0: it takes ' +
      'none. Null: as many as there are',
  ),
  max_calls_per_second: orNull(
    count('Calls', { maximum: 10_000 }),
    'The same of calls that begin in a second',
  ),
  number_format: Type.Enum(['international', 'national'], {
    description:
      "How it is told a number: in normal form, or as it is dialled in the tenant's country. international unless given",
  }),
  strip_digits: count('Then so many leading digits go', { maximum: 20 }),
  prepend: text('^\\+?[0-9*#]{0,16}$', 'up to 16 digits, * and #, with + before them or without', {
    description: 'Then this is put before it',
  }),
  caller_id: Type.Enum(['caller', 'fixed', 'tenant', 'anonymous'], {
    description:
      "Who is presented: the caller, always caller_id_number, the tenant's own number, or nobody. caller unless given",
  }),
  caller_id_number: orNull(callerIdNumber, 'Of caller_id fixed, which needs it'),
  caller_id_name: orNull(callerIdName, 'Presented beside the number. Null: none is set'),
  caller_id_header: orNull(
    Type.Enum(['rpid', 'pid', 'none']),
    'In which header besides From: Remote-Party-ID, P-Asserted-Identity or neither. Null: as the SIP profile has it',
  ),
  codecs: Type.Array(
    text(
      '^[A-Za-z0-9][A-Za-z0-9.-]{0,31}(@[0-9]{1,7}[hibc]){0,4}$',
      'the name of a codec, with its parameters: PCMA, opus@48000h@20i',
    ),
    {
      maxItems: 16,
      description: 'What it is offered and nothing else. Empty: as the SIP profile has it',
    },
  ),
  progress_seconds: orNull(
    count('Seconds', { minimum: 1, maximum: 600 }),
    'Without a sign of the far end so long after it was dialled, the next one is tried. Null: near the end of the ' +
      "tenant's ring_seconds",
  ),
}

export const gatewayFields = { name, ...others }

export const gatewayDraft = Type.Object(
  { tenant: tenantId, name, ...optional(others) },
  {
    ...closed,
    examples: [
      {
        tenant: 'demo',
        name: 'carrier2',
        prefix: '090',
        priority: 50,
        carrier_cost_per_minute: '320',
        max_calls: 60,
      },
    ],
  },
)
export const gatewayChange = Type.Object(optional(gatewayFields), {
  ...closed,
  examples: [{ priority: 10, max_calls: null }],
})

export type GatewayDraft = Static<typeof gatewayDraft>
export type GatewayChange = Static<typeof gatewayChange>

/** A gateway as it is configured. */
export interface GatewayRecord extends FieldsOf<typeof gatewayFields> {
  readonly id: number
  readonly tenant: string
  /** Normal form; `prefix_entered` is it as it was entered. */
  readonly prefix: string
  readonly prefix_entered: string
  /** What counts: the smallest of its name, whosever. */
  readonly effective_max_calls: number | null
  readonly effective_max_calls_per_second: number | null
  /** Counts up with each change. */
  readonly version: number
}
