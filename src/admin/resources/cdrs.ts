import { Type, type FastifyPluginCallbackTypebox, type Static } from '@fastify/type-provider-typebox'
import { formatMoney, parseMoney } from '../../billing/money.js'
import { cdrTotals, type CdrTotals } from '../../store/cdr-totals.js'
import { listCdrs, readCdr, termsView, type CdrView } from '../../store/cdrs.js'
import { rerateCall, type Rerating } from '../../store/rerate.js'
import { readReratings } from '../../store/reratings.js'
import { transactionsOfCall } from '../../store/transactions.js'
import { access, boundTenant } from '../access.js'
import { audited } from '../audited.js'
import type { AdminDependencies } from '../dependencies.js'
import { fromStore, Problem } from '../errors.js'
import { echo } from '../field-errors.js'
import { cursor, defaultLimit, limit, noQuery, page, problems, security } from '../schemas.js'
import { cdrFilters, filtersOf } from './cdr-query.js'
import { call, cdr, seenBy, totals, type CallView } from './cdr-schemas.js'
import { rerated } from './rerating-schemas.js'
import { shownTransaction } from './transactions.js'

const mostItems = 1000
/** How long PostgreSQL may add up: as long as a client waits without doubt. */
const totalsTimeoutMs = 10_000

const callParams = Type.Object({
  uuid: Type.String({
    minLength: 1,
    maxLength: 256,
    description: "The call's call_uuid",
    examples: ['0b7e7f4e-2f0a-4c5b-9f3e-8a3f0f9d2a10'],
  }),
})

export const cdrs: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  const { pool } = dependencies

  app.get(
    '/cdrs',
    {
      config: access('read', 'own'),
      schema: {
        operationId: 'listCdrs',
        tags: ['cdrs'],
        summary: 'Call detail records, the latest first',
        security,
        querystring: Type.Object(
          { limit: limit(mostItems), cursor, ...cdrFilters },
          { additionalProperties: false },
        ),
        response: { 200: page(cdr), ...problems(422) },
      },
    },
    async (request) => {
      const { limit: most, cursor: from, ...asked } = request.query
      const { items, next } = await fromStore(
        listCdrs(pool, {
          ...filtersOf(asked, dependencies),
          limit: most ?? defaultLimit,
          ...(from !== undefined && { cursor: from }),
        }),
      )
      return { items: items.map(seenBy(request)), next }
    },
  )

  app.get(
    '/cdrs/totals',
    {
      config: access('read', 'own'),
      schema: {
        operationId: 'totalCdrs',
        tags: ['cdrs'],
        summary: 'What call detail records come to',
        security,
        querystring: Type.Object(cdrFilters, { additionalProperties: false }),
        response: { 200: totals, ...problems(422) },
      },
    },
    async (request) => {
      const filters = filtersOf(request.query, dependencies)
      const sums = await fromStore(cdrTotals(pool, filters, totalsTimeoutMs))
      return shownTotals(sums, boundTenant(request) === undefined)
    },
  )

  app.get(
    '/cdrs/:uuid',
    {
      config: access('read', 'own'),
      schema: {
        operationId: 'getCdr',
        tags: ['cdrs'],
        summary: 'One call: its record, legs and their rates, ledger lines and recordings',
        security,
        querystring: noQuery,
        params: callParams,
        response: { 200: call, ...problems(404) },
      },
    },
    async (request) => {
      const { uuid } = request.params
      const own = boundTenant(request)
      const found = await fromStore(readCdr(pool, uuid))
      if (!found || (own !== undefined && found.tenant !== own)) return refuseUnknownCall(uuid)
      const lines = await fromStore(transactionsOfCall(pool, uuid))
      const reratings = await fromStore(readReratings(pool, uuid))
      const view: CallView = {
        ...seenBy(request)(found),
        recording: recordingOf(found),
        // A record that was replaced may have been another tenant's.
        transactions: lines
          .filter(({ tenant }) => own === undefined || tenant === own)
          .map((line) => ({ tenant: line.tenant, ...shownTransaction(line) })),
        reratings: reratings.map(({ number, reason, costBefore, cost, createdAt }) => ({
          ...{ number, reason, cost_before: costBefore, cost, created_at: createdAt.toISOString() },
        })),
      }
      return view
    },
  )

  app.post(
    '/cdrs/:uuid/rerate',
    {
      config: access('admin', 'no'),
      schema: {
        operationId: 'rerateCdr',
        tags: ['cdrs'],
        summary: 'Rates a call anew',
        description:
          "Each charged leg is rated by what the tenant's deck says now of the moment of its answer. The old cost is " +
          'refunded and the new one debited. With unchanged rates nothing is written, however often it is asked.',
        security,
        querystring: noQuery,
        params: callParams,
        body: Type.Object(
          {
            reason: Type.String({
              minLength: 1,
              maxLength: 500,
              description: 'Kept, and shown in the ledger',
            }),
            dry_run: Type.Optional(Type.Boolean({ description: 'Only say what would become of it' })),
          },
          { additionalProperties: false, examples: [{ reason: 'Price of 1 January was entered late' }] },
        ),
        response: { 200: rerated, ...problems(404, 413, 415, 422) },
      },
    },
    async (request) => {
      const { uuid } = request.params
      const { reason, dry_run: isDry = false } = request.body
      const rerating = await audited(request, pool, async (client, note) => {
        const result = await rerateCall(client, uuid, { reason, isDry })
        if (result.isChange && !isDry)
          note({
            tenant: result.tenant,
            target: `cdr ${uuid}`,
            before: { cost: result.costBefore },
            after: { cost: result.cost, reason },
          })
        return result
      })
      if (rerating.low) dependencies.onLowBalance?.(rerating.low)
      return shownRerating(uuid, rerating, isDry)
    },
  )

  done()
}

function refuseUnknownCall(uuid: string): never {
  throw new Problem('not_found', `There is no CDR of call ${echo(uuid)}.`)
}

function recordingOf(found: CdrView): CallView['recording'] {
  const { recording_path: path, recording_url: url, variables } = found
  if (path === null) return null
  return { path, url, earlier: variables.earlier_recordings?.split(' ') ?? [] }
}

function shownTotals(sums: CdrTotals, hasCarriers: boolean): Static<typeof totals> {
  const { calls, answered, durationMs, talkMs, billedMs, money } = sums
  return {
    calls,
    answered,
    answer_seizure_ratio: calls === 0 ? null : Math.round((answered / calls) * 10_000) / 10_000,
    duration_ms: durationMs,
    talk_ms: talkMs,
    billed_ms: billedMs,
    money: money.map(({ currency, cost, carrierCost }) => ({
      ...{ currency, cost, carrier_cost: hasCarriers ? carrierCost : null },
    })),
  }
}

function shownRerating(uuid: string, rerating: Rerating, isDry: boolean): Static<typeof rerated> {
  const { currency, costBefore, cost, charges, isChange } = rerating
  return {
    call_uuid: uuid,
    dry_run: isDry,
    changed: isChange,
    currency,
    cost_before: costBefore,
    cost,
    difference: formatMoney(parseMoney(cost) - parseMoney(costBefore)),
    charges: charges.map((charge) => ({
      leg_uuid: charge.legUuid,
      number: charge.number,
      cost_before: charge.costBefore,
      cost: charge.cost,
      prefix: charge.prefix,
      prefix_entered: charge.prefixEntered,
      description: charge.description,
      price_per_minute: charge.pricePerMinute,
      terms: termsView(charge.terms),
      charged_ms: charge.chargedMs,
    })),
  }
}
