import { Type, type Static } from 'typebox'
import {
  accountCodes,
  amount,
  callerIdName,
  callerIdNumber,
  closed,
  count,
  optional,
  orNull,
  plainText,
  tenantId,
  text,
  typedPrefix,
  type FieldsOf,
} from './fields.js'

/** Longer than any call; and a timer of this server can count to it in ms. */
const longestCallSeconds = 7 * 86_400
const longestRingSeconds = 600
const directions = ['inbound', 'outbound', 'internal'] as const

const deck = text('^[a-z0-9][a-z0-9_-]{0,62}$', 'the id of a deck in the currency of the tenant')

const blockedDestination = Type.Object(
  {
    prefix: typedPrefix('What numbers begin with, as it is dialled or in normal form; empty: every number'),
    prefix_entered: Type.Optional(
      typedPrefix('How `prefix` was spelled when it was entered; so that what was read can be sent back'),
    ),
    description: Type.Optional(plainText(200, 'Why, for people', 0)),
  },
  closed,
)

/** What must be said of a tenant. */
const needed = {
  name: plainText(200, 'For people'),
  country: text('^[A-Z]{2}$', 'an ISO 3166 code of 2 capital letters, such as VN', {
    description:
      'What its numbers are read by when they are dialled nationally. Stays while it has a number plan',
  }),
  currency: text('^[A-Z]{3}$', 'an ISO 4217 code of 3 capital letters, such as VND', {
    description: 'Of its money. Stays while it has a ledger',
  }),
}

const others = {
  time_zone: text(
    '^(?=.{1,64}$)[A-Za-z_]+(/[A-Za-z0-9_+-]+)*$',
    'the name of a time zone, such as Asia/Ho_Chi_Minh',
    { description: 'Whose midnight ends its day. UTC unless given' },
  ),
  domain: orNull(
    text(
      '^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$',
      'a host name of up to 253 letters, digits, . and -',
    ),
    'SIP domain of its extensions; no two tenants have the same. Null: the one that a call came with',
  ),
  deck: orNull(deck, 'The deck of rates that its calls cost. Null: it has none'),
  inbound_deck: orNull(deck, 'What its own numbers and extensions cost when they are called. Null: nothing'),
  billing: Type.Enum(['prepaid', 'postpaid'], { description: 'prepaid unless given' }),
  credit_limit: orNull(
    amount('Money'),
    'How far below 0 balance less reserved may go. Null: not at all when prepaid, without bound when postpaid',
  ),
  low_balance: orNull(
    text(
      '^-?[0-9]{1,18}(\\.[0-9]{1,6})?$',
      'a decimal number as a text, at most 18 digits before the point and 6 behind it',
    ),
    'A balance below this is warned of. Null: none is',
  ),
  daily_spend_cap: orNull(amount('Money'), 'The most that its calls of a day may cost. Null: no such bound'),
  maximum_call_cost: orNull(amount('Money'), 'The most that one call may cost. Null: no such bound'),
  max_calls: orNull(count('Calls'), 'Calls at once, over all nodes. Null: as many as there are'),
  max_calls_per_second: orNull(count('Calls'), 'Calls that begin in a second. Null: as many as there are'),
  max_call_seconds: count('How long a call may last. 14400 unless given', {
    minimum: 1,
    maximum: longestCallSeconds,
  }),
  ring_seconds: count('How long a called party rings. 60 unless given', {
    minimum: 1,
    maximum: longestRingSeconds,
  }),
  emergency_numbers: Type.Array(text('^\\+?[0-9*#]{2,32}$', '2 to 32 digits, * and #, as it is dialled'), {
    maxItems: 100,
    uniqueItems: true,
    description: 'As they are dialled. Never screened, billed or refused',
  }),
  local_prefixes: Type.Array(typedPrefix('As it is dialled or in normal form', 1), {
    maxItems: 100,
    uniqueItems: true,
    description: 'What is local to it; kept in normal form: 024 in Vietnam is 8424',
  }),
  allows_unrated: Type.Boolean({ description: 'Whether it may call, for nothing, what has no rate' }),
  gateway_order: Type.Enum(['priority', 'cost'], {
    description: 'How its gateways for a number are ordered. priority unless given',
  }),
  caller_id_number: orNull(
    callerIdNumber,
    'Presented over gateways with caller_id tenant. Null: the caller is',
  ),
  caller_id_name: orNull(callerIdName, 'The same of the name'),
  record_directions: Type.Array(Type.Enum([...directions]), {
    maxItems: directions.length,
    uniqueItems: true,
    description: 'Its calls that are recorded, unless their route wants otherwise',
  }),
  hold_music: orNull(
    text(
      '^(?!.*\\.\\.)(/?[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}|(local|silence)_stream://[A-Za-z0-9_./,-]{1,100}|tone_stream://[A-Za-z0-9%(),;.=*+_-]{1,200})$',
      'a path of letters, digits, _, ., / and -, local_stream://…, silence_stream://… or tone_stream://…',
    ),
    'What who is put on hold hears. Null: what the switch has for that',
  ),
  account_codes: accountCodes(
    100,
    "Channels with one of these as their accountcode are the tenant's. No two tenants have the same",
  ),
  blocked_destinations: Type.Array(blockedDestination, {
    maxItems: 1000,
    description: 'What it may not call, whatever it costs',
  }),
}

export const tenantFields = { ...needed, ...others }

const example = {
  name: 'Demo',
  country: 'VN',
  currency: 'VND',
  time_zone: 'Asia/Ho_Chi_Minh',
  deck: 'standard',
  emergency_numbers: ['112', '113', '114', '115'],
  blocked_destinations: [{ prefix: '1900', description: 'Premium rate' }],
}

export const tenantDraft = Type.Object(
  { id: tenantId, ...needed, ...optional(others) },
  { ...closed, examples: [{ id: 'acme', ...example }] },
)
export const tenantChange = Type.Object(optional(tenantFields), {
  ...closed,
  examples: [
    { credit_limit: '500000', blocked_destinations: [{ prefix: '1900', description: 'Premium rate' }] },
  ],
})

export type BlockedDestination = Static<typeof blockedDestination>
export type TenantDraft = Static<typeof tenantDraft>
export type TenantChange = Static<typeof tenantChange>

/** A tenant as it is shown. Money as decimal strings. */
export interface TenantRecord extends FieldsOf<typeof tenantFields> {
  readonly id: string
  readonly blocked_destinations: Required<BlockedDestination>[]
  /** Counts up with each change. */
  readonly version: number
  /** RFC 3339 */
  readonly created_at: string
}
