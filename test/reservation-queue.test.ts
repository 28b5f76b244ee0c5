import { randomUUID } from 'node:crypto'

import t from 'tap'

import { parseMoney } from '../src/billing/money.js'
import { CreditAway, ReservationQueue, type ReservationRequest } from '../src/billing/reservation-queue.js'
import { reserveCredit } from '../src/store/reservations.js'
import { heldBy, makePayer } from './support/credit.js'
import { testDatabase } from './support/services.js'

const { pool } = await testDatabase(t)
const patientMs = 20_000

function request(amount: bigint): ReservationRequest {
  return { callUuid: randomUUID(), attemptId: '1', want: amount, least: amount }
}

t.test(
  'a request that PostgreSQL cannot take fails alone, and those beside it do not wait for ever',
  async (t) => {
    const tenant = await makePayer(pool, 'poison', '0', { billing: 'postpaid' })
    const batches: number[] = []
    const queue = new ReservationQueue((tenantId, requests) => {
      batches.push(requests.length)
      return reserveCredit(pool, tenantId, requests)
    }, patientMs)
    const one = parseMoney('1')
    // More than any amount in there can be.
    const asked = [one, 10n ** 30n, one].map((amount) => queue.request(tenant.id, request(amount)))
    const [first, poison, last] = await Promise.allSettled(asked)
    t.match(first, { status: 'fulfilled', value: { held: one } })
    t.match(poison, { status: 'rejected', reason: { code: '22003' } })
    t.match(last, { status: 'fulfilled', value: { held: one } })
    t.same(batches, [3, 1, 1, 1], 'together, then each for itself')
    t.match(await heldBy(pool, tenant), { reserved: 2n * one, held: 2n * one })
  },
)

t.test('what waits behind an unanswered batch does not wait for a time-out of its own', async (t) => {
  let asked = 0
  const queue = new ReservationQueue(() => {
    asked++
    return new Promise(() => undefined)
  }, 50)
  const first = queue.request('silent', request(1n))
  // By now the first one is under way.
  await new Promise(setImmediate)
  const others = Array.from({ length: 3 }, () => queue.request('silent', request(1n)))
  const outcomes = await Promise.allSettled([first, ...others])
  for (const outcome of outcomes) t.match(outcome, { status: 'rejected', reason: CreditAway })
  t.equal(asked, 1)
})

t.test(
  'requests of one tenant that come together go together, and no tenant waits for another',
  async (t) => {
    const batches: string[] = []
    const queue = new ReservationQueue((tenantId, requests) => {
      batches.push(`${tenantId} ${requests.length}`)
      if (tenantId === 'stuck') return new Promise(() => undefined)
      return Promise.resolve(requests.map(({ want }) => ({ held: want, shortage: undefined })))
    }, patientMs)
    void queue.request('stuck', request(1n)).catch(() => undefined)
    const answers = await Promise.all(
      Array.from({ length: 250 }, (_, i) => queue.request('free', request(BigInt(i)))),
    )
    t.same(
      answers.map(({ held }) => held),
      Array.from({ length: 250 }, (_, i) => BigInt(i)),
      'each has its own answer',
    )
    t.same(batches, ['stuck 1', 'free 100', 'free 100', 'free 50'])
  },
)
