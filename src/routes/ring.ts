import { Type, type Static } from 'typebox'
import type { Route } from './route.js'
import { record, stepSchema } from './schemas.js'

const seconds = Type.Integer({
  minimum: 1,
  maximum: 600,
  description: 'Of each; in turn or of all together',
})

const args = Type.Object(
  {
    extensions: Type.Union([
      Type.Array(Type.String({ minLength: 1, maxLength: 32 }), { minItems: 1, maxItems: 32 }),
      Type.String({ minLength: 1, maxLength: 400, description: 'With commas between' }),
    ]),
    order: Type.Optional(Type.Enum(['together', 'in_turn'])),
    ring_seconds: Type.Optional(seconds),
    ringSeconds: Type.Optional({ ...seconds, description: 'The earlier spelling of ring_seconds' }),
    record,
    otherwise: Type.Optional(stepSchema),
  },
  { additionalProperties: false },
)

const listed = (extensions: string | readonly string[]): readonly string[] =>
  typeof extensions === 'string' ? extensions.split(',').map((number) => number.trim()) : extensions

/** Several phones, at once or one after the other; who answers first has the call. */
export const ring: Route<Static<typeof args>> = {
  name: 'ring',
  summary: 'Rings several extensions, all together or in turn',
  arguments: args,
  pathArgument: 'extensions',
  reaches: () => undefined,
  references: ({ extensions }) => listed(extensions).map((id) => ({ kind: 'extension', id })),
  steps: ({ otherwise }) => (otherwise === undefined ? [] : [otherwise]),

  async run(call, { extensions: numbers, order = 'together', record, otherwise, ...args }) {
    const ringSeconds = args.ring_seconds ?? args.ringSeconds
    if (record !== undefined) call.record(record)
    const extensions = listed(numbers).flatMap((number) => {
      const extension = call.extension(number)
      if (extension === undefined) call.log.warn({ extension: number }, 'there is no such extension to ring')
      return extension ?? []
    })
    if (extensions.length === 0) return call.refuse('NO_ROUTE_DESTINATION', 'none of the extensions exists')
    const groups = order === 'together' ? [extensions] : extensions.map((extension) => [extension])
    let cause = ''
    for (const group of groups) {
      const result = await call.ring(group, ringSeconds === undefined ? {} : { ringSeconds })
      cause = result.cause
      if (result.isConnected) return call.hangup(cause)
    }
    return otherwise === undefined ? call.hangup(cause) : call.go(otherwise)
  },
}
