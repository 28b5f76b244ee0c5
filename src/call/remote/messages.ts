import { Type, type Static, type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { callStates } from '../../common/live-call.js'
import type { Moved } from './moved-calls.js'

/**
 * What nodes ask each other, as JSON over Redis. Anybody else may publish there, too: what has not exactly one of these
 * shapes, or is too long, is passed over, and what has is no more than the API may ask for.
 */

const version = 1
/** Characters. An answer may have a page of calls. */
const longestQuestion = 8 * 1024
const longestAnswer = 4 * 1024 * 1024
/** Calls that are asked for at once. */
export const mostCalls = 1_001

const text = (maxLength: number) => Type.String({ maxLength })
const nodeName = Type.String({ pattern: '^[0-9A-Za-z_-]{1,64}$' })
const id = Type.String({ pattern: '^[0-9a-f-]{36}$' })
const callUuid = Type.String({ minLength: 1, maxLength: 512 })
const moment = Type.Integer({ minimum: 0 })
const maybe = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const direction = Type.Enum(['inbound', 'outbound', 'internal'])
const state = Type.Enum([...callStates])
const party = Type.Enum(['caller', 'called'])

const action = Type.Union([
  Type.Object({ do: Type.Literal('hangup'), cause: Type.String({ pattern: '^[A-Z][A-Z0-9_]{2,62}$' }) }),
  Type.Object({
    do: Type.Literal('transfer'),
    party,
    to: Type.String({ pattern: '^[+0-9A-Za-z*#._][0-9A-Za-z*#._-]{0,32}$' }),
  }),
  Type.Object({
    do: Type.Literal('dtmf'),
    party,
    digits: Type.String({ pattern: '^[0-9A-D*#w]{1,64}$' }),
  }),
  Type.Object({
    do: Type.Literal('play'),
    party: Type.Enum(['caller', 'called', 'both']),
    sound: text(220),
  }),
  Type.Object({ do: Type.Literal('record'), on: Type.Boolean() }),
  Type.Object({
    do: Type.Literal('listen'),
    extension: text(64),
    mode: Type.Enum(['listen', 'whisper', 'barge']),
  }),
])

const ask = Type.Union([
  Type.Object({
    about: Type.Literal('list'),
    filter: Type.Object({
      tenant: Type.Optional(text(64)),
      direction: Type.Optional(direction),
      route: Type.Optional(text(64)),
      state: Type.Optional(state),
      gateway: Type.Optional(text(64)),
      caller: Type.Optional(text(64)),
      called: Type.Optional(text(64)),
    }),
    limit: Type.Integer({ minimum: 1, maximum: mostCalls }),
    after: Type.Optional(Type.Object({ startedAt: moment, uuid: callUuid })),
  }),
  Type.Object({ about: Type.Literal('find'), uuid: callUuid }),
  Type.Object({ about: Type.Literal('act'), uuid: callUuid, action }),
  Type.Object({ about: Type.Literal('counts'), tenant: Type.Optional(text(64)) }),
])
export type Ask = Static<typeof ask>

const question = Compile(Type.Object({ v: Type.Literal(version), id, from: nodeName, ask }))
const answer = Compile(Type.Object({ v: Type.Literal(version), id, node: nodeName, value: Type.Unknown() }))

export interface Question {
  readonly id: string
  /** Who asks. */
  readonly from: string
  readonly ask: Ask
}

export interface Answer {
  readonly id: string
  readonly node: string
  readonly value: unknown
}

export function questionText(message: Question): string {
  return JSON.stringify({ v: version, ...message })
}

export function answerText(message: Answer): string {
  return JSON.stringify({ v: version, ...message })
}

/** @returns undefined for what is none that this release understands */
export function readQuestion(message: string): Question | undefined {
  return read(question, message, longestQuestion)
}

/** @returns undefined for what is none that this release understands; its value is not looked at yet */
export function readAnswer(message: string): Answer | undefined {
  return read(answer, message, longestAnswer)
}

function read<T>(shape: { Check(value: unknown): value is T }, message: string, most: number): T | undefined {
  if (message.length > most) return undefined
  let json: unknown
  try {
    json = JSON.parse(message)
  } catch {
    return undefined
  }
  return shape.Check(json) ? json : undefined
}

/** What others say of a call may have more to it, in a later release. */
const view = Type.Object({
  uuid: callUuid,
  node: nodeName,
  switchName: maybe(text(256)),
  tenant: maybe(text(64)),
  direction,
  caller: text(512),
  called: text(512),
  callerRaw: text(512),
  calledRaw: text(512),
  callerName: text(512),
  route: maybe(text(64)),
  state,
  startedAt: moment,
  answeredAt: maybe(moment),
  bridgedAt: maybe(moment),
  bLegUuid: maybe(callUuid),
  dialled: maybe(text(512)),
  gateway: maybe(text(64)),
  isVip: Type.Boolean(),
  recordingPath: maybe(text(512)),
})
const count = Type.Integer({ minimum: 0 })
/** Which calls of a node another one may count, too: an older release does not tell. */
const moved = {
  handedOn: Type.Optional(
    Type.Array(Type.Object({ uuid: callUuid, tenant: maybe(text(64)), route: maybe(text(64)) })),
  ),
  continued: Type.Optional(Type.Array(callUuid)),
}
const counts = Type.Record(text(64), count, { maxProperties: 100_000 })

/** What the answers to each kind of question are. */
export const answersTo = {
  list: listed,
  find: checker(Type.Object({ call: maybe(view) })),
  act: checker(
    Type.Union([
      Type.Object({
        done: Type.Literal(true),
        recordingPath: Type.Optional(maybe(text(512))),
        listenerUuid: Type.Optional(id),
      }),
      Type.Object({
        done: Type.Literal(false),
        why: Type.Enum(['gone', 'not_now', 'failed', 'invalid']),
        detail: text(1_000),
        field: Type.Optional(text(64)),
      }),
    ]),
  ),
  counts: checker(
    Type.Object({
      calls: count,
      byTenant: counts,
      byRoute: counts,
      byState: counts,
      begun: Type.Array(count, { minItems: 60, maxItems: 60 }),
      ...moved,
    }),
  ),
} as const

const page = checker(
  Type.Object({ items: Type.Array(Type.Unknown(), { maxItems: mostCalls }), total: count, ...moved }),
)
const viewOf = checker(view)

/** One call that nobody could show must not hide all others. */
function listed(value: unknown): (Moved & { items: Static<typeof view>[]; total: number }) | undefined {
  const found = page(value)
  return found && { ...found, items: found.items.flatMap((item) => viewOf(item) ?? []) }
}

function checker<T extends TSchema>(schema: T): (value: unknown) => Static<T> | undefined {
  const validator = Compile(schema)
  return (value) => (validator.Check(value) ? value : undefined)
}
