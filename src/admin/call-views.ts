import { Type, type Static } from '@fastify/type-provider-typebox'
import { callStates, type LiveCallView, type Nodes } from '../common/live-call.js'
import { moment, nullable } from './schemas.js'

/** Live calls, and how many nodes told of them, as the API shows them. */

export const callSchema = Type.Object(
  {
    call_uuid: Type.String({ description: "The caller's leg" }),
    node: Type.String({ description: 'The server that has it' }),
    switch_name: nullable(Type.String(), { description: "FreeSWITCH's own name; null: it did not say" }),
    tenant: nullable(Type.String(), { description: 'Whose call it is; null: nobody has been found' }),
    direction: Type.Enum(['inbound', 'outbound', 'internal']),
    caller: Type.String({ description: 'In normal form' }),
    called: Type.String({ description: 'In normal form, as the call began' }),
    caller_raw: Type.String({ description: 'As it came' }),
    called_raw: Type.String({ description: 'As it came' }),
    caller_name: Type.String(),
    route: nullable(Type.String(), { description: 'With which it began; null: none serves it' }),
    state: Type.Enum([...callStates], {
      description:
        '`starting` until it is routed; `menu`, `queued`, `ringing`, `talking`; `route` in any other route; ' +
        '`handed_on` once its dialplan has it; `ending` until its record is kept',
    }),
    started_at: moment('When it came'),
    answered_at: nullable(moment('When its caller was answered'), { description: 'Null: not yet' }),
    bridged_at: nullable(moment('Since when it talks to whom it talks to'), {
      description: 'Null: to nobody',
    }),
    b_leg_uuid: nullable(Type.String(), { description: 'The leg that it talks to; null: none' }),
    dialled: nullable(Type.String(), {
      description: 'The number or extension that it talks to, or that rings; null: none',
    }),
    gateway: nullable(Type.String(), { description: 'Over which that was dialled; null: over none' }),
    is_vip: Type.Boolean(),
    recording_path: nullable(Type.String(), {
      description: 'Where its talk is recorded to; null: it is not recorded',
    }),
  },
  {
    additionalProperties: false,
    description: 'A call in progress',
    examples: [
      {
        call_uuid: '1231c353-654e-4a12-8cc5-2f8a458b5d81',
        node: '5f0c1d2e3a4b5c6d',
        switch_name: 'pbx1',
        tenant: 'demo',
        direction: 'outbound',
        caller: '1000',
        called: '84901234567',
        caller_raw: '1000',
        called_raw: '0901234567',
        caller_name: 'Front desk',
        route: 'dial',
        state: 'talking',
        started_at: '2025-01-31T08:00:00.000Z',
        answered_at: '2025-01-31T08:00:04.120Z',
        bridged_at: '2025-01-31T08:00:04.120Z',
        b_leg_uuid: '33cc9df5-05a3-4bbd-aa5f-17efce31680d',
        dialled: '84901234567',
        gateway: 'carrier1',
        is_vip: false,
        recording_path: null,
      },
    ],
  },
)

export const nodesSchema = Type.Object(
  {
    asked: Type.Integer({
      description: 'Servers, this one among them. Whatever else listens to what they ask is counted, too',
    }),
    answered: Type.Integer(),
    trouble: nullable(Type.String(), {
      description: 'Why calls may be missing; null: all servers have answered',
    }),
  },
  {
    additionalProperties: false,
    description: 'The servers that told of their calls',
    examples: [{ asked: 2, answered: 2, trouble: null }],
  },
)

export function shownCall(call: LiveCallView): Static<typeof callSchema> {
  return {
    call_uuid: call.uuid,
    node: call.node,
    switch_name: call.switchName,
    tenant: call.tenant,
    direction: call.direction,
    caller: call.caller,
    called: call.called,
    caller_raw: call.callerRaw,
    called_raw: call.calledRaw,
    caller_name: call.callerName,
    route: call.route,
    state: call.state,
    started_at: at(call.startedAt),
    answered_at: call.answeredAt === null ? null : at(call.answeredAt),
    bridged_at: call.bridgedAt === null ? null : at(call.bridgedAt),
    b_leg_uuid: call.bLegUuid,
    dialled: call.dialled,
    gateway: call.gateway,
    is_vip: call.isVip,
    recording_path: call.recordingPath,
  }
}

export function shownNodes({ asked, answered, trouble }: Nodes): Static<typeof nodesSchema> {
  return { asked, answered, trouble }
}

/** What another server says may be any number. */
function at(micros: number): string {
  return new Date(Math.min(Math.floor(micros / 1000), 8.64e15)).toISOString()
}
