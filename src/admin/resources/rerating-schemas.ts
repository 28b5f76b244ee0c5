import { Type } from '@fastify/type-provider-typebox'
import { milliseconds, money, nullable } from '../schemas.js'
import { example, terms, text } from './cdr-schemas.js'

const ratedAgain = Type.Object(
  {
    leg_uuid: text(),
    number: text('As it was dialled, in normal form'),
    cost_before: money('What the leg cost'),
    cost: money('What it costs now'),
    prefix: text("The rate's prefix in normal form"),
    prefix_entered: text("The rate's prefix as it was entered"),
    description: text(),
    price_per_minute: money('Price of a minute'),
    terms,
    charged_ms: milliseconds('What of its time is paid for'),
  },
  { additionalProperties: false },
)

export const rerated = Type.Object(
  {
    call_uuid: text(),
    dry_run: Type.Boolean({ description: 'Nothing was written' }),
    changed: Type.Boolean({
      description: 'False: the call costs what it cost, at the same rates; nothing was written',
    }),
    currency: nullable(text('ISO 4217')),
    cost_before: money('What the call cost: it comes back as a refund'),
    cost: money('What it costs now: it is debited'),
    difference: money('Above 0 when it costs more now'),
    charges: Type.Array(ratedAgain, { description: 'Its legs' }),
  },
  {
    additionalProperties: false,
    description: 'What became of it',
    examples: [
      {
        call_uuid: example.call_uuid,
        dry_run: false,
        changed: true,
        currency: 'VND',
        cost_before: '500.00',
        cost: '450.00',
        difference: '-50.00',
        charges: [
          {
            leg_uuid: '5e0a1c2e-76a5-4b0b-8f63-4f0c3b1d2e77',
            number: '84901234567',
            cost_before: '500.00',
            cost: '450.00',
            prefix: '8490',
            prefix_entered: '090',
            description: 'Mobile',
            price_per_minute: '450.00',
            terms: {},
            charged_ms: 60_000,
          },
        ],
      },
    ],
  },
)
