import { Type, type FastifyPluginCallbackTypebox, type Static } from '@fastify/type-provider-typebox'
import { explainLeg } from '../../billing/explain.js'
import { formatMoney } from '../../billing/money.js'
import { formatMoment, parseMoment } from '../../common/moment.js'
import { normalNumber } from '../../numbering/normal-form.js'
import { numberClass } from '../../numbering/number-class.js'
import { readCallTerms, readDeckRate, type CallTerms, type FoundRate } from '../../store/call-costs.js'
import { hasNul } from '../../store/database.js'
import { findDeck } from '../../store/decks.js'
import { access } from '../access.js'
import type { AdminDependencies } from '../dependencies.js'
import { fromStore, refuseInvalid, refuseUnknownTenant } from '../errors.js'
import { echo } from '../field-errors.js'
import { checkedCountry, country, rateSchema, shownRate } from '../rate-schemas.js'
import { milliseconds, moment, money, nullable, problems, security, tenantParams } from '../schemas.js'
import { deckParams, refuseUnknownDeck } from './decks.js'
import { checkedMoment } from './rates.js'

const asked = {
  number: Type.String({
    minLength: 1,
    maxLength: 64,
    description: 'As somebody dials it',
    examples: ['0901234567'],
  }),
  seconds: Type.String({
    minLength: 1,
    maxLength: 16,
    description: 'How long it lasts from its answer on: up to 10000000, with three decimals at most',
    examples: ['61.5'],
  }),
  at: Type.Optional(
    Type.String({ minLength: 1, maxLength: 40, description: 'When it is dialled; RFC 3339. Default now' }),
  ),
}

const reckoned = {
  number: Type.String({ description: 'As it was asked for' }),
  normal_form: Type.String(),
  at: moment('When it is dialled'),
  deck: nullable(Type.String(), { description: 'Where rates were looked up; null: nowhere' }),
  currency: Type.String({ description: 'ISO 4217' }),
  rate: nullable(rateSchema, { description: 'The rate that wins; null: none does, and `why` says why' }),
  why: nullable(Type.String(), { description: 'Why there is no rate, or the call is not allowed' }),
  billed_ms: milliseconds('How long it lasts'),
  charged_ms: milliseconds('What of that is paid for: at least the minimum, in whole increments'),
  increments: Type.Integer({ minimum: 0, description: 'Increments beyond the minimum' }),
  cost: nullable(money('What it costs'), { description: 'Null: there is no price for it' }),
  steps: Type.Array(Type.String(), { description: 'How it comes to its cost' }),
}

const example = {
  number: '0901234567',
  normal_form: '84901234567',
  at: '2025-01-31T08:00:00.000Z',
  deck: 'demo',
  currency: 'VND',
  rate: {
    id: '8490',
    prefix: '8490',
    prefix_entered: '090',
    description: 'Mobile Viettel',
    price_per_minute: '500.00',
    connection_fee: '0.00',
    minimum_seconds: 30,
    increment_seconds: 6,
    grace_seconds: 0,
    minimum_cost: null,
    maximum_cost: null,
    valid_from: null,
    valid_to: null,
    rounding_mode: 'half_up' as const,
    rounding_decimals: 2,
    version: 1,
  },
  why: null,
  billed_ms: 61_500,
  charged_ms: 66_000,
  increments: 6,
  cost: '550.00',
  steps: [
    'Of 61.5 s the minimum of 30 s and 6 × 6 s are charged: 66 s.',
    '66 s at 500.00 a minute come to 550.00.',
  ],
}
const deckCost = Type.Object(reckoned, {
  additionalProperties: false,
  description: 'What the call would cost',
  examples: [example],
})
const tenantCost = Type.Object(
  {
    ...reckoned,
    tenant: Type.String(),
    class: Type.Enum(['emergency', 'local', 'domestic', 'international', 'premium'], {
      description: 'As in toll_allow of extensions',
    }),
    is_inside: Type.Boolean({
      description: "True: a number of the tenant's own, at its inbound deck; nothing without one",
    }),
    is_allowed: Type.Boolean({ description: 'False: it would be refused, and `why` says why' }),
    gateways: Type.Array(Type.String(), { description: 'In the order in which they would be tried' }),
  },
  {
    additionalProperties: false,
    description: 'What the call would cost',
    examples: [
      {
        ...example,
        tenant: 'demo',
        class: 'domestic',
        is_inside: false,
        is_allowed: true,
        gateways: ['carrier1'],
      },
    ],
  },
)

const longestSeconds = 10_000_000

export const costs: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  const { pool, catalog } = dependencies

  app.get(
    '/tenants/:tenant/cost',
    {
      config: access('read', 'own'),
      schema: {
        operationId: 'getTenantCost',
        tags: ['tenants'],
        summary: 'What a call of the tenant would cost, and how that is reckoned',
        description:
          'By the same code as calls. What an extension may call (toll_allow) and credit are not asked.',
        security,
        params: tenantParams,
        querystring: Type.Object(asked, { additionalProperties: false }),
        response: { 200: tenantCost, ...problems(404) },
      },
    },
    async ({ query, params: { tenant: id } }) => {
      const { number } = query
      const billedMs = checkedMs(query.seconds)
      const at = checkedAt(query.at)
      if (hasNul(id)) return refuseUnknownTenant(id)
      if (hasNul(number)) return refuseNumber(number)
      const terms = await fromStore(
        readCallTerms(pool, id, {
          dialled: number,
          normal: ({ country }) => normalNumber(number, country),
          isInside: (_, normal) => catalog.byDid(normal)?.tenant.id === id || catalog.isReachedAt(id, normal),
          at: at.micros,
        }),
      )
      if (!terms) return refuseUnknownTenant(id)
      const { tenant, isExtension, isInside, deckId, gateways, found } = terms
      const normal = isExtension ? number : normalNumber(number, tenant.country)
      const isEmergency = [number, normal].some((form) => tenant.emergencyNumbers.has(form))
      const verdict = verdictOf(terms, isEmergency)
      return {
        tenant: id,
        ...{ number, normal_form: normal, at: at.text },
        class: isEmergency ? 'emergency' : numberClass(normal, tenant),
        is_inside: isInside,
        is_allowed: verdict.isAllowed,
        deck: deckId ?? null,
        currency: tenant.currency,
        ...reckon(verdict.isFree ? undefined : found, billedMs, verdict.isFree),
        why: verdict.why,
        gateways: gateways.map(({ name }) => name),
      }
    },
  )

  app.get(
    '/decks/:deck/cost',
    {
      config: access('read', 'no'),
      schema: {
        operationId: 'getDeckCost',
        tags: ['decks'],
        summary: 'What a call would cost at the rates of a deck, and how that is reckoned',
        security,
        params: deckParams,
        querystring: Type.Object({ ...asked, country }, { additionalProperties: false }),
        response: { 200: deckCost, ...problems(404) },
      },
    },
    async ({ query, params: { deck: id } }) => {
      const { number } = query
      const billedMs = checkedMs(query.seconds)
      const at = checkedAt(query.at)
      const normal = normalNumber(number, checkedCountry(query.country, dependencies.country))
      const deck = await fromStore(findDeck(pool, id))
      if (!deck) return refuseUnknownDeck(id)
      if (hasNul(number)) return refuseNumber(number)
      const found = await fromStore(readDeckRate(pool, id, normal, at.micros))
      return {
        ...{ number, normal_form: normal, at: at.text, deck: id, currency: deck.currency },
        ...reckon(found, billedMs, false),
        why: found ? null : 'The deck has no rate for this number at that time.',
      }
    },
  )

  done()
}

interface Verdict {
  readonly isAllowed: boolean
  /** Whatever the rate. */
  readonly isFree: boolean
  readonly why: string | null
}

/** As a leg is judged when it is dialled. */
function verdictOf({ tenant, isInside, isBlocked, deckId, found }: CallTerms, isEmergency: boolean): Verdict {
  if (isEmergency) return { isAllowed: true, isFree: true, why: 'Emergency numbers cost nothing.' }
  if (isBlocked) return { isAllowed: false, isFree: false, why: 'The tenant blocks this destination.' }
  if (found) return { isAllowed: true, isFree: false, why: null }
  if (isInside) {
    const why = `It is a number of the tenant's own, which ${deckId === undefined ? 'has no inbound deck' : 'has no inbound rate'}.`
    return { isAllowed: true, isFree: true, why }
  }
  const none =
    deckId === undefined ? 'The tenant has no deck' : 'The deck has no rate for this number at that time'
  return tenant.allowsUnrated
    ? { isAllowed: true, isFree: true, why: `${none}; the tenant may call, for nothing, what has no rate.` }
    : { isAllowed: false, isFree: false, why: `${none}.` }
}

type Reckoned = Pick<
  Static<typeof deckCost>,
  'rate' | 'billed_ms' | 'charged_ms' | 'increments' | 'cost' | 'steps'
>

function reckon(found: FoundRate | undefined, billedMs: number, isFree: boolean): Reckoned {
  if (!found)
    return {
      rate: null,
      billed_ms: billedMs,
      charged_ms: 0,
      increments: 0,
      cost: isFree ? formatMoney(0n) : null,
      steps: [],
    }
  const { chargedMs, increments, cost, steps } = explainLeg(found.rate, billedMs)
  return {
    rate: shownRate(found.listed),
    billed_ms: billedMs,
    charged_ms: chargedMs,
    increments,
    cost: formatMoney(cost),
    steps: [...steps],
  }
}

/** @throws Problem */
function checkedMs(seconds: string): number {
  const [, whole, fraction = ''] = /^([0-9]{1,8})(?:\.([0-9]{1,3}))?$/.exec(seconds) ?? []
  const ms = Number(whole) * 1000 + Number(fraction.padEnd(3, '0'))
  if (whole !== undefined && ms <= longestSeconds * 1000) return ms
  return refuseInvalid([
    {
      field: 'seconds',
      detail: `is ${echo(seconds)}; allowed is a number of 0 to ${longestSeconds} with three decimals at most`,
    },
  ])
}

/** @throws Problem */
function checkedAt(at: string | undefined): { readonly text: string; readonly micros: number } {
  const text = checkedMoment('at', at) ?? formatMoment(BigInt(Date.now()) * 1000n)
  return { text, micros: Number(parseMoment(text)) }
}

function refuseNumber(number: string): never {
  return refuseInvalid([
    { field: 'number', detail: `is ${echo(number)}; allowed is a text without the character NUL` },
  ])
}
