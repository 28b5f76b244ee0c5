import assert from 'node:assert/strict'
import { setTimeout as nextLook } from 'node:timers/promises'

import fc from 'fast-check'
import t from 'tap'

import { formatMoney, parseMoney } from '../src/billing/money.js'
import type { Rate } from '../src/billing/rating.js'
import { rateFromSnapshot, rateSnapshot } from '../src/billing/rate-snapshot.js'
import { importRates } from '../src/store/rates.js'
import { Tariffs } from '../src/store/tariffs.js'
import { anyRate, plainRate } from './support/rates.js'
import { testDatabase } from './support/services.js'

const { pool } = await testDatabase(t)
await pool.query(`INSERT INTO decks (id, name, currency)
  SELECT id, id, 'EUR' FROM unnest('{random,terms,large,other,empty}'::text[]) AS id`)

async function inMemory(...deckIds: string[]): Promise<Tariffs> {
  const tariffs = new Tariffs(pool)
  await tariffs.need(deckIds)
  return tariffs
}

/** Reads what changed, whole decks included. */
async function inForce(tariffs: Tariffs): Promise<void> {
  await tariffs.refresh()
  await tariffs.settled()
}

function sampled<T>(arbitrary: fc.Arbitrary<T>, count: number): T[] {
  return fc.sample(arbitrary, { numRuns: count, seed: 7 })
}

t.test('memory finds the rate that SQL finds, on random numbers at random moments', async (t) => {
  const digits = (minLength: number, maxLength: number) =>
    fc.array(fc.constantFrom('0', '1', '4', '9'), { minLength, maxLength }).map((digits) => digits.join(''))
  const moment = fc.integer({ min: 0, max: 9 }).map((day) => day * 86_400_000_000)
  const rate = fc
    .record({
      prefix: digits(0, 7),
      from: fc.option(moment),
      days: fc.option(fc.integer({ min: 1, max: 5 })),
    })
    .map(({ prefix, from, days }) =>
      plainRate(prefix, 1n, {
        ...(from !== null && { validFrom: from }),
        ...(days !== null && { validTo: (from ?? 0) + days * 86_400_000_000 }),
      }),
    )
  const byKey = new Map(sampled(rate, 1_500).map((rate) => [`${rate.prefix}/${rate.validFrom}`, rate]))
  // A price of its own each: which one was found shows in it.
  const rates = [...byKey.values()].map((rate, i) => ({ ...rate, pricePerMinute: BigInt(i) * 10_000n }))
  await importRates(pool, 'random', rates)
  const calls = sampled(fc.record({ number: digits(0, 10), at: moment }), 1_000)
  const { rows } = await pool.query<{ prefix: string; price: string } | { prefix: null; price: null }>(
    `SELECT rate.prefix, rate.price_per_minute::text AS price
    FROM unnest($1::text[], $2::float8[]) WITH ORDINALITY AS call (number, at, ord)
    LEFT JOIN LATERAL (
      SELECT prefix, price_per_minute FROM rates
      WHERE deck_id = 'random'
        AND prefix = ANY (SELECT left(call.number, length) FROM generate_series(0, length(call.number)) AS length)
        AND valid_from <= to_timestamp(call.at / 1e6)
        AND (valid_to IS NULL OR valid_to > to_timestamp(call.at / 1e6))
      ORDER BY length(prefix) DESC, valid_from DESC LIMIT 1
    ) AS rate ON true
    ORDER BY ord`,
    [calls.map(({ number }) => number), calls.map(({ at }) => at)],
  )
  const deck = (await inMemory('random')).deck('random')!
  let unrated = 0
  calls.forEach(({ number, at }, i) => {
    const found = deck.find(number, at)
    if (!found) unrated++
    const { prefix, price } = rows[i]!
    assert.deepEqual(
      found && [found.prefix, found.pricePerMinute],
      price === null ? undefined : [prefix, parseMoney(price)],
      `${number} at ${at}`,
    )
  })
  t.ok(unrated < calls.length / 2, `${calls.length - unrated} of ${calls.length} numbers had a rate`)
  t.ok(rates.length > 1_000)
})

t.test('every field of a rate comes back as it went in', async (t) => {
  // PostgreSQL has no NUL and no lone surrogate in its texts, and amounts of 18 digits before the point.
  const texts = ['', '+84 90', 'Việt Nam\t"mobile"', 'a\\b\n\r\\N', '\\.', '𝟘']
  const rates = sampled(anyRate, 300).map((rate, i): Rate => ({
    ...rate,
    prefix: String(1000 + i),
    prefixEntered: texts[i % texts.length]!,
    description: texts[(i * 7) % texts.length]!,
  }))
  await importRates(pool, 'terms', rates)
  const deck = (await inMemory('terms')).deck('terms')!
  t.strictSame(
    rates.map((rate) => deck.find(rate.prefix, rate.validFrom ?? (rate.validTo ?? 1) - 1)),
    rates,
  )
  const { rows } = await pool.query<{ count: string; total: string }>(
    `SELECT count(*), sum(connection_fee) AS total FROM rates WHERE deck_id = 'terms'`,
  )
  const total = rates.reduce((sum, { connectionFee }) => sum + connectionFee, 0n)
  t.same([rows[0]?.count, formatMoney(parseMoney(rows[0]!.total))], ['300', formatMoney(total)])
})

t.test('moments before 1970 and the ends of time are no trouble', async (t) => {
  await importRates(
    pool,
    'terms',
    [
      plainRate('7', 1n, { validFrom: -1, validTo: 1 }),
      plainRate('71', 2n, { validFrom: -9_000_000_000_000_001 }),
    ],
    { isWhole: true },
  )
  await pool.query(`INSERT INTO rates (deck_id, prefix, prefix_entered, price_per_minute, valid_to)
    VALUES ('terms', '72', '72', 3, 'infinity'), ('terms', '73', '73', 4, '9999-12-31')`)
  const deck = (await inMemory('terms')).deck('terms')!
  t.match(deck.find('7', 0), { validFrom: -1, validTo: 1 })
  t.match(deck.find('71', 0), { validFrom: -9_000_000_000_000_001 })
  t.equal(deck.find('72', 0)?.validTo, undefined)
  const endless = deck.find('73', 0)!
  t.strictSame(rateFromSnapshot(rateSnapshot(endless)), endless)
  t.equal(deck.find('1000', 0), undefined, 'what the deck had before is gone')
})

t.test('rates that make no sense are not let into the table', async (t) => {
  const nonsense = [
    'connection_fee = -1',
    `price_per_minute = 'NaN'`,
    'increment_seconds = -1',
    'rounding_decimals = 7',
    `rounding_mode = 'sideways'`,
    'minimum_cost = 2, maximum_cost = 1',
    'maximum_cost = 0.005',
    'minimum_cost = 0.5, rounding_decimals = 0',
    `valid_from = 'infinity'`,
    `valid_from = now(), valid_to = now()`,
  ]
  await importRates(pool, 'other', [plainRate('1', 1n)])
  for (const terms of nonsense)
    await t.rejects(pool.query(`UPDATE rates SET ${terms} WHERE deck_id = 'other'`), { code: '23514' }, terms)
})

t.test('an import is all or nothing, and the connection goes on', async (t) => {
  const broken = new Error('the file ends in the middle')
  async function* ratesThatBreak() {
    for (let i = 0; i < 5_000; i++) yield plainRate(String(10_000 + i), 1n)
    throw broken
  }
  await t.rejects(importRates(pool, 'other', ratesThatBreak(), { isWhole: true }), broken)
  await t.rejects(importRates(pool, 'other', [plainRate('8x', 1n)]), { code: '23514' })
  await t.rejects(importRates(pool, 'other', [plainRate('8', 1n), plainRate('8', 2n)]), { code: '23505' })
  await t.rejects(importRates(pool, 'nobody', [plainRate('8', 1n)]), { code: '23503' })
  const { rows } = await pool.query(`SELECT prefix FROM rates WHERE deck_id = 'other'`)
  t.same(rows, [{ prefix: '1' }])
})

t.test('the rates of a deck go where it goes', async (t) => {
  await pool.query(`INSERT INTO decks (id, name, currency) VALUES ('short', 'Short', 'EUR')`)
  await importRates(pool, 'short', [plainRate('1', 1n), plainRate('2', 2n)])
  await t.rejects(pool.query(`UPDATE rates SET deck_id = 'nobody' WHERE deck_id = 'short'`), {
    code: '23503',
  })
  const count = async (deckId: string) =>
    (await pool.query('SELECT FROM rates WHERE deck_id = $1', [deckId])).rowCount
  await pool.query(`UPDATE decks SET id = 'brief' WHERE id = 'short'`)
  t.same([await count('short'), await count('brief')], [0, 2])
  await pool.query(`DELETE FROM decks WHERE id = 'brief'`)
  t.equal(await count('brief'), 0)
})

t.test('no deck is deleted under the rates that are being added to it', async (t) => {
  await pool.query(`INSERT INTO decks (id, name, currency) VALUES ('contested', 'Contested', 'EUR')`)
  const adding = await pool.connect()
  await adding.query(`BEGIN;
    INSERT INTO rates (deck_id, prefix, prefix_entered, price_per_minute) VALUES ('contested', '1', '1', 1)`)
  const deleted = pool.query(`DELETE FROM decks WHERE id = 'contested'`)
  await until(async () => {
    const { rowCount } = await pool.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    )
    return rowCount === 1
  })
  await adding.query('COMMIT')
  adding.release()
  await deleted
  const { rowCount } = await pool.query(`SELECT FROM rates WHERE deck_id = 'contested'`)
  t.equal(rowCount, 0)
})

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await nextLook(5)
}

t.test('of a large deck only what changed is read', async (t) => {
  const rates = Array.from({ length: 2_000 }, (_, i) => plainRate(String(10_000 + i), BigInt(i)))
  await importRates(pool, 'large', rates)
  const tariffs = await inMemory('large', 'empty', 'other')
  const before = tariffs.deck('large')!
  t.equal(before.changed, 0)
  const changes: [sql: string, changed: number, number: string, price: bigint | undefined][] = [
    [
      `UPDATE rates SET price_per_minute = 7 WHERE deck_id = 'large' AND prefix = '10001'`,
      1,
      '100019',
      7_000_000n,
    ],
    [`DELETE FROM rates WHERE deck_id = 'large' AND prefix = '10002'`, 2, '100029', undefined],
    [`UPDATE rates SET prefix = '2' WHERE deck_id = 'large' AND prefix = '10003'`, 4, '20', 3n],
    [`UPDATE rates SET deck_id = 'large' WHERE deck_id = 'other'`, 5, '100029', 1n],
    [`DELETE FROM rates WHERE deck_id = 'nobody'`, 5, '100029', 1n],
    // More than a thousand: quicker as a whole.
    [`UPDATE rates SET price_per_minute = 9 WHERE deck_id = 'large'`, 0, '100019', 9_000_000n],
  ]
  for (const [sql, changed, number, price] of changes) {
    await pool.query(sql)
    await inForce(tariffs)
    t.equal(tariffs.deck('large')?.changed, changed, sql)
    t.equal(tariffs.deck('large')?.find(number, 0)?.pricePerMinute, price, sql)
  }
  t.equal(tariffs.deck('other')?.find('1', 0), undefined, 'it went to the other deck')
  t.equal(before.find('100029', 0)?.pricePerMinute, 2n, 'a deck itself never changes')
  await pool.query('TRUNCATE rates')
  await inForce(tariffs)
  t.equal(tariffs.deck('large')?.find('100019', 0), undefined)
})

t.test('a node that is too far behind, or ahead of a restored database, reads everything', async (t) => {
  const tariffs = await inMemory('large')
  await pool.query(
    `INSERT INTO rates (deck_id, prefix, prefix_entered, price_per_minute) VALUES ('large', '1', '1', 1)`,
  )
  await pool.query(
    `UPDATE catalog_version SET version = version + 2000 WHERE part = 'rates'; DELETE FROM rate_changes`,
  )
  await inForce(tariffs)
  t.equal(tariffs.deck('large')?.find('1', 0)?.pricePerMinute, 1_000_000n)
  await pool.query(`UPDATE rates SET price_per_minute = 2;
    UPDATE catalog_version SET version = 1 WHERE part = 'rates'; DELETE FROM rate_changes`)
  await inForce(tariffs)
  t.equal(tariffs.deck('large')?.find('1', 0)?.pricePerMinute, 2_000_000n)
  t.equal(tariffs.deck('large')?.changed, 0)
})

t.test('what changed is kept for a thousand versions', async (t) => {
  await pool.query(`UPDATE catalog_version SET version = 5000 WHERE part = 'rates';
    INSERT INTO rate_changes VALUES (3999, 'large', '1'), (4001, 'large', '1'), (4002, 'large', '2')`)
  await pool.query('UPDATE rates SET price_per_minute = 3')
  const { rows } = await pool.query<{ version: string }>(
    'SELECT DISTINCT version FROM rate_changes ORDER BY version',
  )
  t.same(
    rows.map(({ version }) => version),
    ['4002', '5001'],
  )
})

t.test('who empties the table of decks empties theirs', async (t) => {
  const { pool } = await testDatabase(t)
  // It goes down to the tenants' ledger, which refuses that.
  await pool.query('ALTER TABLE ledger DISABLE TRIGGER USER')
  for (const tables of ['decks', 'decks, rates', 'rates, decks']) {
    await pool.query(`INSERT INTO decks (id, name, currency) VALUES ('gone', 'Gone', 'EUR')`)
    await importRates(pool, 'gone', [plainRate('1', 1n)])
    const tariffs = new Tariffs(pool)
    await tariffs.need(['gone'])
    t.equal(tariffs.deck('gone')?.find('1', 0)?.pricePerMinute, 1n)
    await pool.query(`TRUNCATE ${tables} CASCADE`)
    t.equal((await pool.query('SELECT FROM rates')).rowCount, 0, tables)
    await inForce(tariffs)
    t.equal(tariffs.deck('gone')?.find('1', 0), undefined, tables)
  }
})

t.test('a deck that nobody has any more is let go', async (t) => {
  const tariffs = await inMemory('large', 'empty')
  tariffs.keep(new Set(['empty']))
  await inForce(tariffs)
  t.equal(tariffs.deck('large'), undefined)
  t.equal(tariffs.deck('empty')?.find('1', 0), undefined)
  t.ok(tariffs.deck('empty'))
})
