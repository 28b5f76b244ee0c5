import { Type, type Static } from '@fastify/type-provider-typebox'
import { normalNumber, normalPrefix } from '../../numbering/normal-form.js'
import type { CdrFilters } from '../../store/cdr-filters.js'
import type { AdminDependencies } from '../dependencies.js'
import { refuseInvalid } from '../errors.js'
import { echo, type FieldError } from '../field-errors.js'
import { momentText, queryTenant, readMoments } from '../schemas.js'

const text = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 256, description }))
const number = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 64, description }))
const prefix = (description: string) =>
  Type.Optional(
    Type.String({ minLength: 1, maxLength: 32, description: `${description}: 090, 8490 or +8490` }),
  )
const amount = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 24, description: `${description}, such as 12.50` }))
const duration = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000_000_000, description }))

const typed = 'as it came, as it is dialled in the country of the tenant, or in normal form'

/** The filters that all questions about CDRs have. */
export const cdrFilters = {
  tenant: queryTenant,
  from: momentText('Calls that started then or later'),
  to: momentText('Calls that started before then'),
  direction: Type.Optional(Type.Enum(['inbound', 'outbound', 'internal'])),
  caller: number(`Who called: ${typed}`),
  called: number(`What was called: ${typed}`),
  call_uuid: text('Only the record of this call'),
  caller_prefix: prefix('What the caller begins with'),
  called_prefix: prefix('What the called number begins with'),
  cause: text("FreeSWITCH's name of the hangup cause, such as USER_BUSY"),
  route: text('The route that it took'),
  gateway: text('The gateway that was used last'),
  vip: Type.Optional(Type.Boolean({ description: 'Whether its caller was a VIP' })),
  blacklisted: Type.Optional(Type.Boolean({ description: 'Whether its caller was blacklisted' })),
  source: Type.Optional(
    Type.Enum(['session', 'link', 'json_cdr', 'incomplete'], { description: 'Where the record comes from' }),
  ),
  min_cost: amount('What the tenant pays, at least'),
  max_cost: amount('What the tenant pays, at most'),
  min_duration_ms: duration('From start to end, at least'),
  max_duration_ms: duration('From start to end, at most'),
}

type Asked = { [Name in keyof typeof cdrFilters]?: Static<(typeof cdrFilters)[Name]> | undefined }

/** A number may be typed as it is dialled where its tenant is; without a tenant, in the default country. */
export function filtersOf(
  asked: Asked,
  { catalog, country: defaultCountry }: Pick<AdminDependencies, 'catalog' | 'country'>,
): CdrFilters {
  const { tenant, caller, called, caller_prefix, called_prefix, vip, blacklisted } = asked
  const country = (tenant === undefined ? undefined : catalog.tenant(tenant)?.country) ?? defaultCountry
  const { direction, cause, route, gateway, source } = asked
  const { call_uuid, min_cost, max_cost, min_duration_ms, max_duration_ms } = asked
  const numbers = (one: string) => forms(one, (plain) => normalNumber(plain, country))
  const prefixes = (one: string) => forms(one, (plain) => normalPrefix(plain, country))
  const { from, to } = readMoments({ from: asked.from, to: asked.to })
  const errors = [
    ...amountErrors({ min_cost, max_cost }),
    ...rangeErrors('max_cost', min_cost, max_cost),
    ...rangeErrors('max_duration_ms', min_duration_ms, max_duration_ms),
  ]
  if (errors.length > 0) refuseInvalid(errors)
  return {
    ...present({ from, to, tenant, direction, cause, route, gateway, source }),
    ...present({ callUuid: call_uuid, isVip: vip, isBlacklisted: blacklisted }),
    ...present({ minCost: min_cost, maxCost: max_cost }),
    ...present({ minDurationMs: min_duration_ms, maxDurationMs: max_duration_ms }),
    ...(caller !== undefined && { caller: numbers(caller) }),
    ...(called !== undefined && { called: numbers(called) }),
    ...(caller_prefix !== undefined && { callerPrefix: prefixes(caller_prefix) }),
    ...(called_prefix !== undefined && { calledPrefix: prefixes(called_prefix) }),
  }
}

/** As it was typed and in normal form: an extension may look like a number of the country. */
function forms(typedText: string, normal: (plain: string) => string): string[] {
  // The + of a URL is a blank; whoever forgot to escape it meant a +.
  const plain = typedText.replace(/^ /, '+')
  return [...new Set([plain, normal(plain)])]
}

const isAmount = /^[0-9]{1,15}(?:\.[0-9]{1,6})?$/

function amountErrors(amounts: Readonly<Record<string, string | undefined>>): FieldError[] {
  return Object.entries(amounts).flatMap(([field, amount]) =>
    amount === undefined || isAmount.test(amount)
      ? []
      : [{ field, detail: `is ${echo(amount)}; allowed is an amount with up to 6 decimals, such as 12.50` }],
  )
}

function rangeErrors(
  field: string,
  least: string | number | undefined,
  most: string | number | undefined,
): FieldError[] {
  // What is no number at all is told already.
  if (least === undefined || most === undefined || !(Number(least) > Number(most))) return []
  return [{ field, detail: `is ${echo(most)}; allowed is ${least} or more, the least that is asked for` }]
}

function present<T extends object>(fields: T): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [Name in keyof T]?: Exclude<T[Name], undefined>
  }
}
