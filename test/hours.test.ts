import assert from 'node:assert/strict'

import fc from 'fast-check'
import t from 'tap'

import { stateAt } from '../src/routes/hours-at.js'
import type { Hours, Span } from '../src/store/flow.js'

type Open = Pick<Hours, 'week' | 'holidays'>

const every = (...spans: Span[]): Open['week'] =>
  Object.fromEntries(['1', '2', '3', '4', '5', '6', '7'].map((day) => [day, spans]))
const weekdays = (...spans: Span[]): Open['week'] =>
  Object.fromEntries(['1', '2', '3', '4', '5'].map((day) => [day, spans]))

function table(
  name: string,
  hours: Partial<Open>,
  timeZone: string,
  moments: readonly [at: string, state: 'open' | 'closed'][],
): void {
  t.test(name, async (t) => {
    for (const [at, state] of moments)
      t.equal(stateAt({ week: {}, holidays: {}, ...hours }, timeZone, new Date(at)), state, at)
  })
}

table(
  'an office in Hanoi closes for lunch and at the weekend',
  { week: weekdays(['08:00', '12:00'], ['13:00', '17:30']) },
  'Asia/Ho_Chi_Minh',
  [
    // A Monday.
    ['2025-03-03T07:59:59+07:00', 'closed'],
    ['2025-03-03T08:00:00+07:00', 'open'],
    ['2025-03-03T11:59:59+07:00', 'open'],
    ['2025-03-03T12:00:00+07:00', 'closed'],
    ['2025-03-03T13:00:00+07:00', 'open'],
    ['2025-03-03T17:29:59+07:00', 'open'],
    ['2025-03-03T17:30:00+07:00', 'closed'],
    ['2025-03-03T08:00:00Z', 'open'],
    ['2025-03-03T01:00:00Z', 'open'],
    ['2025-03-02T10:00:00+07:00', 'closed'],
    ['2025-03-08T10:00:00+07:00', 'closed'],
    // Sunday evening in London is Monday morning there.
    ['2025-03-03T01:30:00Z', 'open'],
    ['2025-03-02T23:30:00Z', 'closed'],
  ],
)

table('whole days end at midnight', { week: { '6': [['00:00', '24:00']] } }, 'UTC', [
  ['2025-03-07T23:59:59Z', 'closed'],
  ['2025-03-08T00:00:00Z', 'open'],
  ['2025-03-08T23:59:59Z', 'open'],
  ['2025-03-09T00:00:00Z', 'closed'],
])

table(
  'a bar that closes after midnight',
  { week: { '5': [['20:00', '02:00']], '7': [['22:00', '00:00']] } },
  'UTC',
  [
    ['2025-03-07T19:59:00Z', 'closed'],
    ['2025-03-07T20:00:00Z', 'open'],
    ['2025-03-07T23:59:59Z', 'open'],
    ['2025-03-08T00:00:00Z', 'open'],
    ['2025-03-08T01:59:59Z', 'open'],
    ['2025-03-08T02:00:00Z', 'closed'],
    ['2025-03-07T01:00:00Z', 'closed'],
    // Until midnight is until midnight.
    ['2025-03-09T23:59:59Z', 'open'],
    ['2025-03-10T00:00:00Z', 'closed'],
  ],
)

table(
  'when summer begins an hour is left out, and when it ends one comes twice',
  { week: every(['02:00', '03:00'], ['22:00', '23:30']) },
  'Europe/Berlin',
  [
    // 02:00 becomes 03:00.
    ['2025-03-30T00:59:59Z', 'closed'],
    ['2025-03-30T01:00:00Z', 'closed'],
    ['2025-03-30T20:00:00Z', 'open'],
    ['2025-03-30T21:29:59Z', 'open'],
    ['2025-03-30T21:30:00Z', 'closed'],
    // The day before, 02:00 is.
    ['2025-03-29T01:00:00Z', 'open'],
    ['2025-03-29T21:00:00Z', 'open'],
    // 03:00 becomes 02:00.
    ['2025-10-25T23:59:59Z', 'closed'],
    ['2025-10-26T00:00:00Z', 'open'],
    ['2025-10-26T00:59:59Z', 'open'],
    ['2025-10-26T01:00:00Z', 'open'],
    ['2025-10-26T01:59:59Z', 'open'],
    ['2025-10-26T02:00:00Z', 'closed'],
    ['2025-10-26T21:00:00Z', 'open'],
  ],
)

table(
  'a span over midnight, in the night in which an hour is left out',
  { week: { '6': [['22:00', '04:00']] } },
  'America/New_York',
  [
    ['2025-03-08T22:00:00-05:00', 'open'],
    ['2025-03-09T01:59:59-05:00', 'open'],
    ['2025-03-09T03:00:00-04:00', 'open'],
    ['2025-03-09T03:59:59-04:00', 'open'],
    ['2025-03-09T04:00:00-04:00', 'closed'],
  ],
)

table(
  'zones of half and of three quarters of an hour, and one where a date was left out',
  { week: { '5': [['09:00', '10:00']] }, holidays: { '2011-12-30': [['00:00', '24:00']] } },
  'Asia/Kathmandu',
  [
    ['2025-03-07T03:14:59Z', 'closed'],
    ['2025-03-07T03:15:00Z', 'open'],
  ],
)
table(
  'Samoa had no 30 December 2011',
  { week: every(['12:00', '13:00']), holidays: { '2011-12-30': [['00:00', '24:00']] } },
  'Pacific/Apia',
  [
    ['2011-12-30T09:59:59Z', 'closed'],
    ['2011-12-30T10:00:00Z', 'closed'],
    ['2011-12-30T22:00:00Z', 'open'],
  ],
)

table(
  'on a holiday what is said of it holds, and nothing else',
  {
    week: every(['09:00', '17:00'], ['22:00', '02:00']),
    holidays: {
      '12-25': [],
      '2025-12-25': [['10:00', '12:00']],
      '12-31': [['09:00', '01:00']],
      '02-29': [],
      '2025-04-30': [],
    },
  },
  'UTC',
  [
    // Of each year.
    ['2024-12-25T10:00:00Z', 'closed'],
    ['2026-12-25T10:00:00Z', 'closed'],
    ['2031-12-25T10:00:00Z', 'closed'],
    // Of this one alone.
    ['2025-12-25T09:30:00Z', 'closed'],
    ['2025-12-25T10:00:00Z', 'open'],
    ['2025-12-25T12:00:00Z', 'closed'],
    ['2025-04-30T10:00:00Z', 'closed'],
    ['2026-04-30T10:00:00Z', 'open'],
    // The night before ends with its day, the night after begins with the next.
    ['2024-12-24T23:00:00Z', 'open'],
    ['2024-12-25T00:30:00Z', 'closed'],
    ['2024-12-26T00:30:00Z', 'closed'],
    ['2024-12-26T09:00:00Z', 'open'],
    // Its own night goes on into the new year.
    ['2024-12-31T18:00:00Z', 'open'],
    ['2025-01-01T00:59:59Z', 'open'],
    ['2025-01-01T01:00:00Z', 'closed'],
    ['2024-02-29T10:00:00Z', 'closed'],
    ['2025-02-28T10:00:00Z', 'open'],
    ['2025-03-01T10:00:00Z', 'open'],
  ],
)

table('nothing is said: closed', {}, 'UTC', [['2025-03-03T10:00:00Z', 'closed']])

t.test('a time zone that there is not is said', async (t) => {
  t.throws(() => stateAt({ week: {}, holidays: {} }, 'Europe/Atlantis', new Date()), RangeError)
})

t.test('over any week the open minutes are those of the spans', async () => {
  const anyTime = fc.integer({ min: 0, max: 24 * 60 - 1 })
  const anySpan = fc.tuple(anyTime, fc.integer({ min: 0, max: 24 * 60 })).filter(([from, to]) => from !== to)
  const anyWeek = fc.array(fc.array(anySpan, { maxLength: 3 }), { minLength: 7, maxLength: 7 })
  const text = (minutes: number) =>
    [Math.floor(minutes / 60), minutes % 60].map((part) => String(part).padStart(2, '0')).join(':')
  // Whose offset is the same all year, and how much it is, in minutes.
  const zones = [
    ['UTC', 0],
    ['Asia/Ho_Chi_Minh', 7 * 60],
    ['Asia/Kolkata', 5 * 60 + 30],
    ['America/Phoenix', -7 * 60],
    ['Pacific/Kiritimati', 14 * 60],
  ] as const
  fc.assert(
    fc.property(
      anyWeek,
      fc.constantFrom(...zones),
      fc.integer({ min: 0, max: 52 * 7 * 24 * 60 }),
      (week, [zone, offset], minuteOfYear) => {
        // 3 January 2028 is a Monday; a week is a ring.
        const at = Date.UTC(2028, 0, 3) + minuteOfYear * 60_000
        const aWeek = 7 * 24 * 60
        const local = (((minuteOfYear + offset) % aWeek) + aWeek) % aWeek
        const isOpen = week.some((spans, day) =>
          spans.some(([from, to]) => {
            const length = to > from ? to - from : to + 24 * 60 - from
            return (local - (day * 24 * 60 + from) + aWeek) % aWeek < length
          }),
        )
        const asText = Object.fromEntries(
          week.map((spans, day) => [
            String(day + 1),
            spans.map(([from, to]): Span => [text(from), text(to)]),
          ]),
        )
        assert.equal(
          stateAt({ week: asText, holidays: {} }, zone, new Date(at)),
          isOpen ? 'open' : 'closed',
          new Date(at).toISOString(),
        )
      },
    ),
    { numRuns: 1_000 },
  )
})
