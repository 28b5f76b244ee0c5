import t, { type Test } from 'tap'
import { booksAddUp, costOf, noOtherCdrs, talkedMs } from './support/books.js'
import type { Cdr, TestLinger } from './support/linger.js'
import { transferAttended } from './support/switch/attended-transfer.js'
import type { CallOutcome } from './support/switch/call.js'
import { farEnds, type FarEndChoice } from './support/switch/far-end.js'
import { ownTenant } from './support/tenants.js'
import { dial, mobile, mortal, noteLeft, otherMobile, world, type Place } from './support/transfers.js'
import { until } from './support/wire.js'

/**
 * Calls that are held, or transferred by either side: what they cost, whoever has them last, and whatever dies on the
 * way. Slices are of 6 s, so that a talk of eleven needs several.
 */

// Each on a tenant of its own: it is talks that take their time. Not all at once: a burst of them at the start keeps the
// process from those that must be extended.
t.jobs = 6

const [link, both, json_cdr] = await Promise.all([world(t, 'link'), world(t, 'both'), world(t, 'json_cdr')])
const worlds = { link, both, json_cdr }

/** By the number that is dialled. */
function byNumber(ends: Readonly<Record<string, ReturnType<typeof farEnds.answers>>>): FarEndChoice {
  return (dialString) => {
    const found = Object.entries(ends).find(([number]) => dialString.includes(number))
    return found?.[1] ?? farEnds.answers()
  }
}

t.test('a talk that is held and taken up again is one talk, and is charged as one', async (t) => {
  const here = await ownTenant(link)
  const call = dial(here, { farEnd: farEnds.answers(2_500) })
  await call.until('CHANNEL_BRIDGE')
  call.hold(true)
  call.hold(false)
  call.hold(true)
  await call.ended
  t.match(await here.linger.cdr(call.uuid), {
    source: 'session',
    hung_up_by: 'called',
    billed_ms: 2_500,
    cost: costOf(2_500),
    charges: [{ billed_ms: 2_500 }],
  })
  await booksAddUp(t, here.linger, here.tenant)
})

t.test(
  'the called phone transfers its caller to the outside: one call, and the tenant pays the new leg',
  async (t) => {
    const here = await ownTenant(link)
    const call = dial(here, {
      ...here.outside,
      farEnd: (dialString) =>
        dialString.includes('1001')
          ? { answersAfterMs: 0, refers: { by: 'called', afterMs: 300, to: mobile } }
          : farEnds.answers(8_000),
    })
    const { legs, connections } = await call.ended
    t.equal(connections.length, 2)
    t.match(await here.linger.cdr(call.uuid), {
      source: 'session',
      direction: 'inbound',
      taken_over: false,
      cost: costOf(8_000),
      charges: [{ leg_uuid: legs[1]!.uuid, gateway: 'carrier1', billed_ms: 8_000 }],
    })
    await noOtherCdrs(t, here.linger, 1, here.tenant)
    await booksAddUp(t, here.linger, here.tenant)
  },
)

for (const telling of ['link', 'both', 'json_cdr'] as const)
  t.test(`the caller transfers whom he called to an extension; the switch tells by ${telling}`, async (t) => {
    const here = await ownTenant(worlds[telling])
    const call = dial(here, {
      farEnd: (dialString) =>
        dialString.includes('1001')
          ? farEnds.answers(telling === 'json_cdr' ? 800 : 11_000)
          : { answersAfterMs: 0, refers: { by: 'caller', afterMs: 500, to: '1001' } },
    })
    const outcome = await call.ended
    const [transferred, extension] = outcome.legs
    t.equal(transferred?.cause, 'NORMAL_CLEARING', 'it was not cut off at the end of a slice')
    const ms = talkedMs(transferred!)
    t.ok(ms > (telling === 'json_cdr' ? 1_200 : 11_400), `${ms} ms`)
    const first = await here.linger.cdr(call.uuid)
    t.match(first, {
      source: telling === 'link' ? 'link' : 'json_cdr',
      direction: 'outbound',
      called: '84901234567',
      gateway: 'carrier1',
      billed_ms: ms,
      cost: costOf(ms),
      charges: [{ leg_uuid: transferred!.uuid, billed_ms: ms, gateway: 'carrier1' }],
    })
    t.equal(first.charges.length, 1)
    const second = await here.linger.cdr(transferred!.uuid)
    t.match(second, {
      source: 'session',
      tenant: here.tenant,
      direction: 'inbound',
      caller: '84901234567',
      called_raw: '1001',
      b_leg_uuid: extension!.uuid,
      cost: '0.00',
      charges: [],
      variables: { transferred_from: call.uuid },
    })
    t.ok((second.duration_ms as number) < ms, 'it begins with the transfer')
    await noOtherCdrs(t, here.linger, 2, here.tenant)
    await booksAddUp(t, here.linger, here.tenant)
  })

t.test(
  'the caller transfers whom he called to the outside: each of the two legs is charged on its own call',
  async (t) => {
    const here = await ownTenant(link)
    const call = dial(here, {
      farEnd: (dialString) =>
        dialString.includes('84907654321')
          ? farEnds.answers(8_000)
          : { answersAfterMs: 0, refers: { by: 'caller', afterMs: 400, to: otherMobile } },
    })
    const { legs } = await call.ended
    const [transferred, other] = legs
    t.match(await here.linger.cdr(transferred!.uuid), {
      direction: 'outbound',
      caller: '84901234567',
      called: '84907654321',
      cost: costOf(8_000),
      charges: [{ leg_uuid: other!.uuid, billed_ms: 8_000 }],
    })
    const ms = talkedMs(transferred!)
    t.match(await here.linger.cdr(call.uuid), {
      cost: costOf(ms),
      charges: [{ leg_uuid: transferred!.uuid, billed_ms: ms }],
    })
    await noOtherCdrs(t, here.linger, 2, here.tenant)
    await booksAddUp(t, here.linger, here.tenant)
  },
)

t.test(
  'a prepaid leg that was transferred away is cut off when the money ends, and not a unit later',
  async (t) => {
    const here = await ownTenant(link, { balance: '75' })
    const call = dial(here, {
      farEnd: (dialString) =>
        dialString.includes('1001')
          ? farEnds.answers()
          : { answersAfterMs: 0, refers: { by: 'caller', afterMs: 400, to: '1001' } },
    })
    const { legs } = await call.ended
    t.equal(legs[0]?.cause, 'ALLOTTED_TIMEOUT')
    const ms = talkedMs(legs[0]!)
    t.ok(ms > 6_000 && ms < 9_000, `${ms} ms of 9,000`)
    t.match(await here.linger.cdr(call.uuid), { billed_ms: ms })
    await booksAddUp(t, here.linger, here.tenant)
  },
)

/** A phone talks in two calls, and connects the two whom it called. */
async function connected(
  here: Place,
  ends: readonly [first: number | undefined, second: number | undefined],
) {
  const farEnd = byNumber({
    '84901234567': farEnds.answers(ends[0]),
    '84907654321': farEnds.answers(ends[1]),
  })
  const first = dial(here, { farEnd })
  await first.until('CHANNEL_BRIDGE')
  first.hold(true)
  const second = dial(here, { called: otherMobile, farEnd })
  await second.until('CHANNEL_BRIDGE')
  transferAttended(first, second)
  return { first, second }
}

async function chargedWhole(
  t: Test,
  linger: Pick<TestLinger, 'cdr'>,
  calls: readonly CallOutcome[],
): Promise<Cdr[]> {
  const cdrs: Cdr[] = []
  for (const { uuid, legs } of calls) {
    const ms = talkedMs(legs[0]!)
    const cdr = await linger.cdr(uuid)
    t.match(cdr, { billed_ms: ms, cost: costOf(ms), charges: [{ leg_uuid: legs[0]!.uuid, billed_ms: ms }] })
    cdrs.push(cdr)
  }
  return cdrs
}

for (const telling of ['link', 'both', 'json_cdr'] as const)
  t.test(`an attended transfer: both legs talk on, and are charged whole; told by ${telling}`, async (t) => {
    const here = await ownTenant(worlds[telling])
    const { first, second } = await connected(here, [telling === 'json_cdr' ? 1_500 : 11_000, undefined])
    // The phone is told that it went well, and hangs up what it still has.
    first.hangup()
    second.hangup()
    const outcomes = await Promise.all([first.ended, second.ended])
    for (const { legs } of outcomes) t.equal(legs[0]?.cause, 'NORMAL_CLEARING')
    const cdrs = await chargedWhole(t, here.linger, outcomes)
    for (const cdr of cdrs) t.match(cdr, { source: telling === 'link' ? 'link' : 'json_cdr' })
    t.match(cdrs[0], { variables: { transfer_to: `att:${outcomes[1].legs[0]!.uuid}` } })
    await noOtherCdrs(t, here.linger, 2, here.tenant)
    await booksAddUp(t, here.linger, here.tenant)
  })

t.test(
  'an attended transfer whose phone says nothing more: its channels are hung up, the talk goes on',
  async (t) => {
    const here = await ownTenant(link)
    const { first, second } = await connected(here, [undefined, 9_000])
    const outcomes = await Promise.all([first.ended, second.ended])
    t.same(
      outcomes.map(({ legs }) => legs[0]?.cause),
      ['NORMAL_CLEARING', 'NORMAL_CLEARING'],
    )
    await chargedWhole(t, here.linger, outcomes)
    await booksAddUp(t, here.linger, here.tenant)
  },
)

t.test('an extension may transfer a call only to where it may call itself', async (t) => {
  const here = await ownTenant(link, {
    sql: (tenant) => `
      INSERT INTO rates (deck_id, prefix, prefix_entered, price_per_minute) VALUES ('demo', '1', '+1', 900);
      UPDATE extensions SET toll_allow = '{local,domestic}' WHERE tenant_id = '${tenant}' AND number = '1001'`,
  })
  const refusal = 'the extension may not call international numbers (toll_allow)'
  const calledUp = await dial(here, {
    ...here.outside,
    farEnd: (dialString) =>
      dialString.includes('1001')
        ? { answersAfterMs: 0, refers: { by: 'called', afterMs: 300, to: '0012125550123' } }
        : farEnds.answers(1_000),
  }).ended
  t.match(await here.linger.cdr(calledUp.uuid), { refusal, cost: '0.00' })
  const calling = await dial(here, {
    caller: '1001',
    farEnd: { answersAfterMs: 0, refers: { by: 'caller', afterMs: 300, to: '0012125550123' } },
  }).ended
  t.match(await here.linger.cdr(calling.legs[0]!.uuid), { refusal, cost: '0.00' })
})

// Alone, for what starts beside a talk takes time from those who must extend it.
const alone = { buffered: false }

t.test('the server dies while those talk who were transferred, and comes back', alone, async (t) => {
  const here = await mortal(t, 6)
  const [attended, own] = await Promise.all([ownTenant(here), ownTenant(here)])
  const call = dial(own, {
    transferDialplan: () => [{ socket: [here.to], guardSeconds: 15 }, noteLeft, { socket: [here.to] }],
    farEnd: (dialString) =>
      dialString.includes('1001')
        ? farEnds.answers(9_000)
        : { answersAfterMs: 0, refers: { by: 'caller', afterMs: 400, to: '1001' } },
  })
  const { first, second } = await connected(attended, [11_000, undefined])
  first.hangup()
  second.hangup()
  await Promise.all([first.hungUp, second.hungUp, call.hungUp])
  await until(() => call.legs[1]?.isAnswered === true)
  await here.die()
  const again = await here.rise()

  await t.test(
    'after an attended transfer: it extends both legs when it is back, and bills them',
    async (t) => {
      const outcomes = await Promise.all([first.ended, second.ended])
      for (const { legs } of outcomes) t.equal(legs[0]?.cause, 'NORMAL_CLEARING', 'not cut off')
      await chargedWhole(t, again, outcomes)
      await noOtherCdrs(t, again, 2, attended.tenant)
      await booksAddUp(t, again, attended.tenant)
    },
  )

  await t.test(
    'while a leg that was transferred talks as a call of its own: both calls are billed',
    async (t) => {
      const { legs } = await call.ended
      const [transferred, extension] = legs
      t.equal(transferred?.cause, 'NORMAL_CLEARING', 'not cut off')
      t.equal(legs.length, 2, 'nobody was dialled again')
      const ms = talkedMs(transferred!)
      t.match(await again.cdr(call.uuid), {
        cost: costOf(ms),
        charges: [{ leg_uuid: transferred!.uuid, billed_ms: ms }],
      })
      t.match(await again.cdr(transferred!.uuid), {
        source: 'session',
        taken_over: true,
        b_leg_uuid: extension!.uuid,
        charges: [],
        variables: { transferred_from: call.uuid },
      })
      await noOtherCdrs(t, again, 2, own.tenant)
      await booksAddUp(t, again, own.tenant)
    },
  )
})
