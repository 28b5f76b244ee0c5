import { Type } from '@fastify/type-provider-typebox'
import { planEntrySchema, step } from '../store/flow-schemas.js'
import { nullable, tenantParams } from './schemas.js'

/** What the number plan is sent and shows. */

const closed = { additionalProperties: false }

const { kind, to } = Type.Required(planEntrySchema).properties
export const direction = Type.Enum(['inbound', 'outbound', 'internal'])
const anyDirection = nullable(direction, { description: 'Null: of calls in any' })

export const sentExample = {
  ...{ direction: 'outbound', kind: 'prefix', number: '1900' },
  step: { route: 'reject', arguments: { cause: 'OUTGOING_CALL_BARRED' } },
} as const
export const entrySchema = Type.Object(
  {
    tenant: Type.String(),
    id: Type.Integer({ minimum: 1 }),
    version: Type.Integer({ description: 'Counts up with each change' }),
    direction: anyDirection,
    kind,
    number: Type.String({ description: 'As it was entered. An empty prefix: every number' }),
    to: nullable(Type.String(), { description: 'The last of a range' }),
    normal_form: Type.String({ description: 'What is looked up: the normal form of number, if it has one' }),
    normal_form_to: nullable(Type.String(), { description: 'The same of to' }),
    step,
  },
  {
    ...closed,
    description: 'Which called numbers lead where',
    examples: [
      {
        ...{ tenant: 'demo', id: 17, version: 1, ...sentExample },
        ...{ to: null, normal_form: '1900', normal_form_to: null },
      },
    ],
  },
)
export const found = Type.Object(
  {
    normal_form: Type.String({ description: 'Of the number, as the tenant dials it' }),
    entry: nullable(Type.Integer(), { description: 'Id of the entry that leads it; null: there is none' }),
    step: { ...step, description: 'Where it is led; without an entry, to the route dial' },
    owner: nullable(Type.String(), {
      description:
        'The tenant whose own number it is, a DID; null: nobody’s, or it is not for this key to know',
    }),
    extension: nullable(Type.String(), { description: 'The extension that dial would ring; null: none' }),
  },
  {
    ...closed,
    description: 'Where it leads',
    examples: [
      {
        ...{ normal_form: '841900561234', entry: 17, step: sentExample.step },
        ...{ owner: null, extension: null },
      },
    ],
  },
)

export const entryParams = Type.Object({
  ...tenantParams.properties,
  id: Type.Integer({
    minimum: 1,
    maximum: 999_999_999_999_999,
    description: 'Id of the entry',
    examples: [7],
  }),
})

export const lookUpQuery = Type.Object(
  {
    number: Type.String({
      ...{ minLength: 1, maxLength: 64 },
      description: 'As it is dialled',
      examples: ['1900561234'],
    }),
    direction: { ...direction, description: 'Of the call' },
  },
  closed,
)

export const changes = Type.Object(
  {
    ...Type.Partial(planEntrySchema).properties,
    direction: Type.Optional(anyDirection),
    to: Type.Optional(nullable(to, { description: 'Null: it is no range' })),
  },
  { ...closed, examples: [{ step: sentExample.step }] },
)
