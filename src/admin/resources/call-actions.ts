import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { CallUnreachable, type CallAction, type Outcome } from '../../common/live-call.js'
import { sound } from '../../store/flow-schemas.js'
import { access } from '../access.js'
import { announced } from '../audited.js'
import type { AdminDependencies } from '../dependencies.js'
import { Problem, refuseInvalid } from '../errors.js'
import { callParams, findCall, refuseUnknownCall } from '../find-call.js'
import { noQuery, nullable, problems, security } from '../schemas.js'

/** Those that say something to a caller's carrier or phone; FreeSWITCH takes any other word for NORMAL_CLEARING. */
const causes = [
  'NORMAL_CLEARING',
  'USER_BUSY',
  'NO_USER_RESPONSE',
  'NO_ANSWER',
  'SUBSCRIBER_ABSENT',
  'CALL_REJECTED',
  'NUMBER_CHANGED',
  'DESTINATION_OUT_OF_ORDER',
  'INVALID_NUMBER_FORMAT',
  'UNALLOCATED_NUMBER',
  'NO_ROUTE_DESTINATION',
  'NORMAL_UNSPECIFIED',
  'NORMAL_CIRCUIT_CONGESTION',
  'NORMAL_TEMPORARY_FAILURE',
  'SWITCH_CONGESTION',
  'OUTGOING_CALL_BARRED',
  'INCOMING_CALL_BARRED',
  'SERVICE_UNAVAILABLE',
  'RECOVERY_ON_TIMER_EXPIRE',
] as const

const party = (description: string) => Type.Optional(Type.Enum(['caller', 'called'], { description }))
const closed = { additionalProperties: false } as const
const done = Type.Null({ description: 'It is done' })
const statuses = [404, 409, 413, 415] as const

type Done = Extract<Outcome, { readonly done: true }>

export const callActions: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, ready) => {
  const operation = (operationId: string, summary: string) => ({
    operationId,
    tags: ['calls'],
    summary,
    security,
    params: callParams,
    querystring: noQuery,
  })
  const config = access('operate', 'own')

  /** @throws Problem */
  const act = async (request: FastifyRequest, uuid: string, action: CallAction): Promise<Done> => {
    const call = await findCall(dependencies, request, uuid)
    const change = { tenant: call.tenant, target: `call ${uuid}`, after: noted(request.body as object) }
    return announced(request, dependencies.pool, change, async () => {
      const outcome = await dependencies.calls.act(call, action).catch((error: unknown) => {
        if (error instanceof CallUnreachable)
          throw new Problem('call_unreachable', `${error.message}. Look at the call before you try again.`, {
            cause: error,
          })
        throw error
      })
      if (outcome.done) return outcome
      if (outcome.why === 'gone') return refuseUnknownCall(uuid)
      if (outcome.why === 'failed')
        throw new Problem('call_unreachable', `The switch did not do it: ${outcome.detail}.`)
      if (outcome.why === 'not_now') throw new Problem('not_now', `Not now: ${outcome.detail}.`)
      return refuseInvalid([{ field: outcome.field ?? 'body', detail: outcome.detail }])
    })
  }

  app.post(
    '/calls/:uuid/hangup',
    {
      config,
      // It needs none.
      preValidation: (request, _reply, next) => {
        if ((request.body as unknown) === undefined) request.body = {}
        next()
      },
      schema: {
        ...operation('hangUpCall', 'Ends a call'),
        body: Type.Object(
          {
            cause: Type.Optional(
              Type.Enum([...causes], {
                description: 'What its caller is told, and its record. Default NORMAL_CLEARING',
              }),
            ),
          },
          { ...closed, examples: [{ cause: 'NORMAL_CLEARING' }] },
        ),
        response: { 204: done, ...problems(404, 413, 415) },
      },
    },
    async (request, reply) => {
      const { cause = 'NORMAL_CLEARING' } = request.body
      await act(request, request.params.uuid, { do: 'hangup', cause })
      return reply.code(204).send(null)
    },
  )

  app.post(
    '/calls/:uuid/transfer',
    {
      config,
      schema: {
        ...operation('transferCall', 'Sends a party of a call elsewhere'),
        description:
          'Who is sent goes where its number plan leads the number, or is connected with whoever has it. The ' +
          'caller stays one call with one record. The called party is a call of its own from then on, and its ' +
          'caller is let go. Who may call what is as if the phone that talks had transferred it.',
        body: Type.Object(
          {
            to: Type.String({
              pattern: '^[+0-9A-Za-z*#._][0-9A-Za-z*#._-]{0,32}$',
              description: 'An extension of the tenant, or a number as the tenant would dial it',
            }),
            leg: party('Who is sent. Default `caller`'),
          },
          { ...closed, examples: [{ to: '1001' }] },
        ),
        response: { 204: done, ...problems(...statuses) },
      },
    },
    async (request, reply) => {
      const { to, leg = 'caller' } = request.body
      await act(request, request.params.uuid, { do: 'transfer', party: leg, to })
      return reply.code(204).send(null)
    },
  )

  app.post(
    '/calls/:uuid/dtmf',
    {
      config,
      schema: {
        ...operation('sendDtmf', 'Has a party of a call hear digits'),
        body: Type.Object(
          {
            digits: Type.String({
              pattern: '^[0-9A-D*#w]{1,64}$',
              description: '0 to 9, A to D, * and #; w is a pause of half a second',
            }),
            leg: party('Who hears them. Default `called`'),
          },
          { ...closed, examples: [{ digits: '1w42#' }] },
        ),
        response: { 204: done, ...problems(...statuses) },
      },
    },
    async (request, reply) => {
      const { digits, leg = 'called' } = request.body
      await act(request, request.params.uuid, { do: 'dtmf', party: leg, digits })
      return reply.code(204).send(null)
    },
  )

  app.post(
    '/calls/:uuid/play',
    {
      config,
      schema: {
        ...operation('playToCall', 'Plays a sound into a call'),
        body: Type.Object(
          {
            sound,
            leg: Type.Optional(
              Type.Enum(['caller', 'called', 'both'], { description: 'Who hears it. Default `both`' }),
            ),
          },
          { ...closed, examples: [{ sound: 'ivr/welcome.wav', leg: 'caller' }] },
        ),
        response: { 204: done, ...problems(...statuses) },
      },
    },
    async (request, reply) => {
      const { sound: what, leg = 'both' } = request.body
      await act(request, request.params.uuid, { do: 'play', party: leg, sound: what })
      return reply.code(204).send(null)
    },
  )

  app.post(
    '/calls/:uuid/recording',
    {
      config,
      schema: {
        ...operation('recordCall', 'Records a call from now on, or no more'),
        description: 'Whatever the rules of its tenant and its route say. What is recorded is the talk.',
        body: Type.Object({ on: Type.Boolean() }, { ...closed, examples: [{ on: true }] }),
        response: {
          200: Type.Object(
            {
              recording_path: nullable(Type.String(), {
                description: 'Where it is recorded to; null: it is not, or not before somebody talks',
              }),
            },
            {
              ...closed,
              description: 'It is done',
              examples: [{ recording_path: '/var/rec/demo/2025/01/31/1231c353.wav' }],
            },
          ),
          ...problems(...statuses),
        },
      },
    },
    async (request) => {
      const { on } = request.body
      const { recordingPath = null } = await act(request, request.params.uuid, { do: 'record', on })
      return { recording_path: recordingPath }
    },
  )

  app.post(
    '/calls/:uuid/listen',
    {
      config,
      schema: {
        ...operation('listenToCall', 'Rings an extension, which listens in'),
        description:
          'It ends with the call, or when the extension hangs up. It is no call of its own, and costs nothing.',
        body: Type.Object(
          {
            extension: Type.String({
              minLength: 1,
              maxLength: 64,
              description: 'Of the tenant whose call it is',
            }),
            mode: Type.Optional(
              Type.Enum(['listen', 'whisper', 'barge'], {
                description:
                  'Whom it can talk to: nobody; the side of the tenant alone (the caller of an outbound call, ' +
                  'else the called party); or both. Default `listen`',
              }),
            ),
          },
          { ...closed, examples: [{ extension: '1001', mode: 'whisper' }] },
        ),
        response: {
          202: Type.Object(
            {
              listener_uuid: Type.String({ description: 'Of the channel that rings, as FreeSWITCH has it' }),
            },
            {
              ...closed,
              description: 'It is being rung',
              examples: [{ listener_uuid: '9c1a3a0e-6c51-4b7a-9d5e-0d6b1f2f7f10' }],
            },
          ),
          ...problems(...statuses),
        },
      },
    },
    async (request, reply) => {
      const { extension, mode = 'listen' } = request.body
      const { listenerUuid = '' } = await act(request, request.params.uuid, { do: 'listen', extension, mode })
      return reply.code(202).send({ listener_uuid: listenerUuid })
    },
  )
  ready()
}

/** What is dialled into a call may be somebody's secret. */
function noted(body: object): object {
  const { digits } = body as { readonly digits?: string }
  return digits === undefined ? body : { ...body, digits: `${digits.length} digits` }
}
