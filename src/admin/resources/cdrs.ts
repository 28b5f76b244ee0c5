import { Type, type FastifyPluginCallbackTypebox, type TSchema } from '@fastify/type-provider-typebox'
import { listCdrs, type CdrView, type ChargeView, type TermsView } from '../../store/cdrs.js'
import { access } from '../access.js'
import { fromStore } from '../errors.js'
import {
  cursor,
  defaultLimit,
  limit,
  milliseconds,
  moment,
  money,
  nullable,
  page,
  problems,
  queryTenant,
  security,
} from '../schemas.js'
import type { AdminDependencies } from '../dependencies.js'

const text = (description?: string) => Type.String(description === undefined ? {} : { description })

const terms = Type.Object(
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
    carrier_cost: nullable(money('What the carrier takes for the leg')),
  } satisfies Record<keyof ChargeView, TSchema>,
  { additionalProperties: false },
)

const cdr = Type.Unsafe<CdrView>(
  Type.Object(
    {
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
      carrier_cost: nullable(money('What the carriers take')),
      currency: nullable(text('ISO 4217')),
      source: text(
        'Where the record comes from: session, link, json_cdr; incomplete: to its last sign of life',
      ),
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
    } satisfies Record<keyof CdrView, TSchema>,
    { additionalProperties: false },
  ),
)

export const cdrs: FastifyPluginCallbackTypebox<AdminDependencies> = (app, { pool }, done) => {
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
          {
            limit: limit(1000),
            cursor,
            tenant: queryTenant,
            call_uuid: Type.Optional(
              Type.String({
                minLength: 1,
                maxLength: 256,
                description: 'Only the record of this call',
                examples: ['0b7e7f4e-2f0a-4c5b-9f3e-8a3f0f9d2a10'],
              }),
            ),
          },
          { additionalProperties: false },
        ),
        response: { 200: page(cdr), ...problems() },
      },
    },
    ({ query }) =>
      fromStore(
        listCdrs(pool, {
          limit: query.limit ?? defaultLimit,
          ...(query.cursor !== undefined && { cursor: query.cursor }),
          ...(query.tenant !== undefined && { tenant: query.tenant }),
          ...(query.call_uuid !== undefined && { callUuid: query.call_uuid }),
        }),
      ),
  )

  done()
}
