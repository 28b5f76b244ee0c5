import { Type, type Static } from 'typebox'

import type { Span } from './flow.js'

/**
 * Menus, hours and entries of the number plan as they are sent by who edits them; what they mean is in flow.ts, and
 * flow-document.ts makes the one of the other.
 */

const closed = { additionalProperties: false }
const identifierPattern = '^[a-z0-9][a-z0-9_-]{0,62}$'
/** What a number may be made of: digits, and what extensions and codes have besides. */
const numberPattern = '^[0-9A-Za-z+*#._-]{1,64}$'

/** Of a menu or of hours: chosen by who makes it, and part of a path, `socket host:port/menu/main`. */
export const flowId = Type.String({ pattern: identifierPattern, examples: ['main'] })
const name = Type.String({ minLength: 1, maxLength: 100, description: 'For people' })

/** Whether it can be played is for the channel to say; here it is text of a length. */
export const sound = Type.String({
  minLength: 1,
  maxLength: 220,
  description: 'A file below the sounds folder, tone_stream://, silence_stream://, say:12 or say:number:12',
  examples: ['ivr/welcome.wav'],
})
const mostSounds = 16
const sounds = Type.Array(sound, { maxItems: mostSounds })

export const step = Type.Object(
  {
    route: Type.String({ pattern: identifierPattern, description: 'The name of a route' }),
    arguments: Type.Optional(
      Type.Record(Type.String({ maxLength: 64 }), Type.Unknown(), {
        maxProperties: 32,
        description: 'As the route wants them',
      }),
    ),
  },
  { ...closed, description: 'Where a call goes on' },
)

export const choice = Type.Union(
  [
    step,
    Type.Object({ menu: flowId }, { ...closed, description: 'Another menu' }),
    Type.Object({ repeat: Type.Literal(true) }, { ...closed, description: 'This menu once more' }),
  ],
  { description: 'What a digit leads to' },
)

const waitMs = (description: string) => Type.Integer({ minimum: 500, maximum: 60_000, description })

export const menuSchema = Type.Object(
  {
    name,
    prompt: Type.Array(sound, { maxItems: mostSounds, description: 'Played one after the other' }),
    choices: Type.Record(Type.String({ pattern: '^[0-9*#XZN]{1,32}$' }), choice, {
      ...closed,
      maxProperties: 100,
      description:
        'By what is dialled: digits, * and #, or a pattern in which X is any digit, Z 1 to 9 and N 2 to 9',
    }),
    timeout_ms: Type.Optional(waitMs('How long the first digit is awaited. Default 5000')),
    inter_digit_ms: Type.Optional(waitMs('How long each further one is. Default 2000')),
    tries: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 10,
        description: 'How often a caller may choose wrongly, or not at all. Default 3',
      }),
    ),
    barge_in: Type.Optional(Type.Boolean({ description: 'Digits cut the prompt short. Default true' })),
    direct_dial: Type.Optional(Type.Boolean({ description: 'Extensions can be dialled. Default false' })),
    invalid_prompt: Type.Optional(sounds),
    no_input_prompt: Type.Optional(sounds),
    otherwise: Type.Optional(step),
  },
  {
    ...closed,
    description: 'An automated attendant',
    examples: [
      {
        name: 'Main menu',
        prompt: ['ivr/welcome.wav'],
        choices: { '1': { route: 'ring', arguments: { extensions: ['1000'] } }, '9': { repeat: true } },
        otherwise: { route: 'reject', arguments: { cause: 'NO_USER_RESPONSE' } },
      },
    ],
  },
)
export type SentMenu = Static<typeof menuSchema>

// As an array: in JSON schema a tuple is written otherwise from draft to draft.
const span = Type.Unsafe<Span>(
  Type.Array(Type.String({ pattern: '^(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)$' }), {
    minItems: 2,
    maxItems: 2,
    description:
      'From the one to the other, HH:MM; one that ends earlier than it begins ends on the next day',
    examples: [['08:00', '17:30']],
  }),
)
const spans = Type.Array(span, { maxItems: 24 })

export const hoursSchema = Type.Object(
  {
    name,
    time_zone: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z_]+(?:/[A-Za-z0-9_+-]+)*$',
        maxLength: 64,
        description: "IANA. Default the tenant's",
        examples: ['Asia/Ho_Chi_Minh'],
      }),
    ),
    week: Type.Record(Type.String({ pattern: '^[1-7]$' }), spans, {
      ...closed,
      description: 'When it is open, by ISO weekday: 1 is Monday. A day that is left out: closed',
    }),
    holidays: Type.Record(
      Type.String({ pattern: '^(?:[0-9]{4}-)?(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])$' }),
      spans,
      {
        ...closed,
        maxProperties: 1_000,
        description: 'By date, YYYY-MM-DD or MM-DD of each year: when it is open instead; empty: closed',
      },
    ),
  },
  {
    ...closed,
    description: 'Opening hours',
    examples: [
      {
        name: 'Office',
        week: {
          '1': [
            ['08:00', '12:00'],
            ['13:00', '17:00'],
          ],
        },
        holidays: { '01-01': [] },
      },
    ],
  },
)
export type SentHours = Static<typeof hoursSchema>

const numberText = (description: string) =>
  Type.String({ pattern: numberPattern, description, examples: ['02412345678'] })

export const planEntrySchema = Type.Object(
  {
    direction: Type.Optional(
      Type.Enum(['inbound', 'outbound', 'internal'], {
        description:
          'Of calls in this direction alone. The numbers of an inbound entry are the tenant’s own (DIDs): as a prefix they have 7 digits at least',
      }),
    ),
    kind: Type.Enum(['exact', 'range', 'prefix'], { description: 'The narrowest wins, in this order' }),
    number: Type.Union([numberText('As it is dialled, or in normal form'), Type.Literal('')], {
      description: 'An empty prefix: every number',
    }),
    to: Type.Optional(numberText('The last of a range, as long as the first')),
    step,
  },
  {
    ...closed,
    description: 'Which called numbers lead where',
    examples: [
      {
        direction: 'inbound',
        kind: 'exact',
        number: '02412345678',
        step: { route: 'menu', arguments: { menu: 'main' } },
      },
    ],
  },
)
export type SentPlanEntry = Static<typeof planEntrySchema>
