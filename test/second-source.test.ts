import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import t, { type Test } from 'tap'
import { parseMoney } from '../src/billing/money.js'
import { plainTerms } from '../src/billing/rating.js'
import { fromJsonCdr } from '../src/call/watch/json-cdr-document.js'
import { fromHangupComplete } from '../src/call/legs/leg-document.js'
import type { Attempt, Leg } from '../src/call/legs/legs.js'
import { LiveCalls, type LiveCall } from '../src/call/live.js'
import { openRecordJson, readOpenRecord } from '../src/call/open-record.js'
import { SecondSource, type SecondSourceOptions } from '../src/call/watch/second-source.js'
import { encodeCallState, encodeLegState } from '../src/call/state.js'
import { Event } from '../src/esl/event.js'
import { Feeder } from '../src/journal/feeder.js'
import { Journal } from '../src/journal/journal.js'
import { Catalog } from '../src/store/catalog.js'
import { commitRecords } from '../src/store/commit.js'
import { auditBooks, auditMode } from '../src/store/audit.js'
import { inTransaction, openPool } from '../src/store/database.js'
import { paidCall } from './support/call-records.js'
import { calledLegCdr } from './support/cdr-documents.js'
import { logLines, type LogLine } from './support/log-lines.js'
import { Line } from './support/outage.js'
import { temporaryFolder, testDatabase } from './support/services.js'

/** Calls of which nobody but the switch tells; PostgreSQL and the journal are real. */

// They wait for a grace more than they work.
t.jobs = 6

const { pool, url } = await testDatabase(t)
const catalog = await Catalog.load(pool, { log: logLines().log })
t.teardown(() => catalog.close())

const attempt: Attempt = {
  id: 'attempt1',
  target: 'gateway:carrier1',
  gateway: { name: 'carrier1' },
  number: '84901234567',
  rate: {
    ...plainTerms,
    prefix: '8490',
    prefixEntered: '090',
    description: 'Mobile Viettel',
    pricePerMinute: parseMoney('500'),
  },
}

interface Node {
  readonly source: SecondSource
  readonly journal: Journal
  readonly live: LiveCalls
  readonly lines: LogLine[]
  readonly dir: string
  close(): Promise<void>
}

/** What a server has for it. */
async function node(
  t: Pick<Test, 'teardown'>,
  options: Partial<SecondSourceOptions> & { dir?: string; isIdle?: boolean } = {},
): Promise<Node> {
  const { log, lines } = logLines()
  const dir = options.dir ?? (await temporaryFolder(t))
  const journal = await Journal.open({ dir, log, reserveBytes: 2 ** 20 })
  const feeder = new Feeder({ journal, pool, log })
  const live = new LiveCalls()
  const source = new SecondSource({
    journal,
    records: journal,
    pool,
    catalog,
    live,
    elsewhere: { has: () => Promise.resolve(undefined), heardAt: () => 0, isLinked: () => false },
    log,
    trustedProfiles: new Set(),
    defaultCountry: 'VN',
    graceMs: 300,
    sweepMs: pauseMs,
    ...options,
  })
  if (options.isIdle !== true) source.start()
  let closing: Promise<void> | undefined
  const close = (): Promise<void> =>
    (closing ??= (async () => {
      await source.close()
      await feeder.close()
      await journal.close()
    })())
  t.teardown(close)
  return { source, journal, live, lines, dir, close }
}

const second = 1e6
/** As often as a node looks itself. */
const pauseMs = 10

/** A call of the tenant demo whose carrier talked from its 5th second to its 65th, and whose caller hung up at its 70th. */
class Told {
  readonly callUuid = randomUUID()
  readonly legUuid = randomUUID()
  readonly startedAt: number
  readonly cost = '500.00'

  constructor(startedAt = (Date.now() - 100_000) * 1000) {
    this.startedAt = startedAt
  }

  get leg(): Leg {
    const answeredAt = this.startedAt + 5 * second
    const endedAt = this.startedAt + 65 * second
    return { uuid: this.legUuid, attempt, answeredAt, bridgedAt: answeredAt, endedAt, endIsExact: true }
  }

  variables(more: Readonly<Record<string, string>> = {}): Record<string, string> {
    const { startedAt } = this
    return {
      uuid: this.callUuid,
      direction: 'inbound',
      start_uepoch: String(startedAt),
      answer_uepoch: String(startedAt + 5 * second),
      bridge_uepoch: String(startedAt + 5 * second),
      end_uepoch: String(startedAt + 70 * second),
      bridge_uuid: this.legUuid,
      hangup_cause: 'NORMAL_CLEARING',
      sip_hangup_disposition: 'recv_bye',
      linger_call: encodeCallState({
        node: 'another',
        takeovers: 0,
        tenant: 'demo',
        direction: 'outbound',
        caller: '84912406496',
        called: attempt.number,
        destination: '0901234567',
        route: 'dial',
        args: {},
        isVip: false,
        startedAt,
        legs: [],
        results: [],
        steps: [],
        isGivenBack: false,
        attempt,
      }),
      ...more,
    }
  }

  /** Of a call for which no server has dialled. */
  unmarked(more: Readonly<Record<string, string>>): Record<string, string> {
    const marks = new Set(['linger_call', 'bridge_uuid', 'bridge_uepoch'])
    return Object.fromEntries(Object.entries(this.variables(more)).filter(([name]) => !marks.has(name)))
  }

  caller(more: Readonly<Record<string, string>> = {}) {
    return fromJsonCdr({ switchname: 'vm', variables: this.variables(more) })
  }

  called(endedAt = this.leg.endedAt!) {
    const { callUuid, legUuid, leg } = this
    const { answeredAt = 0, bridgedAt } = leg
    return fromJsonCdr(
      calledLegCdr({ uuid: legUuid, callUuid, tenant: 'demo', attempt, answeredAt, bridgedAt, endedAt }),
    )
  }

  event(variables: Readonly<Record<string, string>>): Event {
    const event = new Event('CHANNEL_HANGUP_COMPLETE').set('Unique-ID', variables.uuid ?? '')
    for (const [name, value] of Object.entries(variables)) event.set(`variable_${name}`, value)
    return event
  }

  /** What a session told the journal while it talked. */
  open(lastHeardAt: number, leg: Partial<Leg> = { endedAt: undefined }): unknown {
    return openRecordJson({
      facts: {
        uuid: this.callUuid,
        callerNumber: '0912406496',
        callerName: '',
        isAnonymous: false,
        calledNumber: '0901234567',
        couldForge: false,
        accountCode: undefined,
        authUser: undefined,
        authRealm: undefined,
        isAuthorized: false,
        profile: undefined,
        domain: undefined,
        socketPath: undefined,
        isReadyToBridge: true,
        isKnown: false,
        sipCallId: undefined,
        switchName: 'vm',
        createdAt: this.startedAt,
        answeredAt: undefined,
        channelName: undefined,
        transferredFrom: undefined,
        bridgedBefore: undefined,
        arrivedAt: undefined,
      },
      identity: {
        tenant: catalog.tenant('demo'),
        direction: 'outbound',
        caller: '84912406496',
        called: attempt.number,
        callerExtension: undefined,
        calledExtension: undefined,
        isEmergency: false,
      },
      route: 'dial',
      isVip: false,
      takeovers: 0,
      legs: [{ ...this.leg, endIsExact: false, ...leg }],
      attempt: undefined,
      lastHeardAt,
    })
  }
}

/** Asks until something is so. */
async function until<T>(ask: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    await delay(pauseMs)
  }
}

interface Cdr {
  source: string
  cost: string
  billed_ms: string
}

async function cdrsOf(db: pg.Pool, callUuid: string): Promise<Cdr[]> {
  const { rows } = await db.query<Cdr>('SELECT source, cost, billed_ms FROM cdrs WHERE call_uuid = $1', [
    callUuid,
  ])
  return rows
}

const cdrOf = (callUuid: string): Promise<Cdr> => until(async () => (await cdrsOf(pool, callUuid))[0])
/** When nothing is left to be done for any call. */
const idle = ({ source, journal }: Node): Promise<true> =>
  until(() => (source.waiting === 0 && journal.pending === 0 ? true : undefined))

async function linesOf(callUuid: string): Promise<string[]> {
  const { rows } = await pool.query<{ line: string }>(
    `SELECT kind || ' ' || amount::numeric(12, 2) AS line FROM ledger WHERE call_uuid = $1 ORDER BY id`,
    [callUuid],
  )
  return rows.map(({ line }) => line)
}

/** A story at whose end the books add up, and the journal holds nothing. */
function story(name: string, tell: (t: Test, told: Told) => Promise<Node>): void {
  t.test(name, async (t) => {
    const here = await tell(t, new Told())
    await idle(here)
    t.same([...here.journal.documents()], [])
    t.same(here.journal.openCalls(), [])
    t.same((await inTransaction(pool, auditBooks, auditMode)).findings, [], 'the books add up')
  })
}

story(
  'a call whose session never tells has its CDR from mod_json_cdr, to the millisecond',
  async (t, told) => {
    const here = await node(t)
    await here.source.receive(told.called())
    await here.source.receive(told.caller())
    t.match(await cdrOf(told.callUuid), { source: 'json_cdr', cost: '500.000000', billed_ms: '60000' })
    t.same(await linesOf(told.callUuid), ['debit -500.00'])
    return here
  },
)

story('documents that come again, before and after, make no second CDR', async (t, told) => {
  const here = await node(t)
  const all = () => [told.caller(), told.called(), told.caller(), told.called()]
  await Promise.all(all().map((document) => here.source.receive(document)))
  await cdrOf(told.callUuid)
  await Promise.all(all().map((document) => here.source.receive(document)))
  await idle(here)
  // Another process does not remember what this one has recorded.
  const next = await node(t)
  await Promise.all(all().map((document) => next.source.receive(document)))
  await idle(next)
  t.equal((await cdrsOf(pool, told.callUuid)).length, 1)
  t.same(await linesOf(told.callUuid), ['debit -500.00'])
  return here
})

story('over a link the same: the caller’s and the called leg’s final events', async (t, told) => {
  const here = await node(t)
  const variables = JSON.parse(JSON.stringify([...told.called().event])) as [string, string[]][]
  const called = new Event('CHANNEL_HANGUP_COMPLETE')
  for (const [name, [value = '']] of variables) called.set(name, value)
  here.source.observe(new Event('CHANNEL_ANSWER').set('Unique-ID', told.callUuid))
  here.source.observe(told.event(told.variables()))
  here.source.observe(called)
  t.match(await cdrOf(told.callUuid), { source: 'link', cost: '500.000000' })
  return here
})

story('mod_json_cdr’s word counts before a link’s', async (t, told) => {
  const here = await node(t)
  here.source.observe(told.event(told.variables()))
  await here.source.receive(told.called())
  await here.source.receive(told.caller())
  t.match(await cdrOf(told.callUuid), { source: 'json_cdr', cost: '500.000000' })
  return here
})

story('the session’s record comes in time: it is the only one', async (t, told) => {
  const here = await node(t, { graceMs: 500 })
  await here.source.receive(told.caller())
  await here.source.receive(told.called())
  const { callUuid, startedAt, leg } = told
  const call = paidCall(60_000, { callUuid, startedAt })
  // Of another node: this one is not told.
  const charges = call.charges.map((charge) => ({ ...charge, legUuid: leg.uuid, endedAt: leg.endedAt! }))
  await commitRecords(pool, [{ ...call, charges }])
  await idle(here)
  t.match(await cdrsOf(pool, callUuid), [{ source: 'session' }])
  t.same(
    here.lines.filter(({ level }) => level >= 40),
    [],
  )
  return here
})

story('both sources at once: one CDR', async (t, told) => {
  const here = await node(t, { graceMs: 1 })
  const { callUuid, startedAt, legUuid } = told
  const call = paidCall(60_000, { callUuid, startedAt })
  const [charge] = call.charges
  await Promise.all([
    here.source.receive(told.caller()),
    here.source.receive(told.called()),
    here.journal.append({ ...call, charges: [{ ...charge!, legUuid }] }),
  ])
  await idle(here)
  t.equal((await cdrsOf(pool, callUuid)).length, 1)
  t.same(await linesOf(callUuid), ['debit -500.00'])
  t.equal(here.journal.aside, 0)
  return here
})

story(
  'a session that lives here hears what is told of its call, and its record takes the documents away',
  async (t, told) => {
    const here = await node(t)
    const heard: string[] = []
    const live: LiveCall = {
      uuid: told.callUuid,
      hear: ({ uuid, source }) => heard.push(`${source} ${uuid}`),
      checkpoint: () => undefined,
      supersede: () => undefined,
      describe: () => t.fail('nobody asks for it') as never,
      act: () => t.fail('nobody asks for it') as never,
    }
    here.live.add(live)
    await here.source.receive(told.called())
    here.source.observe(told.event(told.variables()))
    t.same(heard, [`json_cdr ${told.legUuid}`, `link ${told.callUuid}`])
    t.equal([...here.journal.documents()].length, 1)
    const { callUuid, startedAt } = told
    const call = paidCall(60_000, { callUuid, startedAt })
    const record = {
      ...call,
      charges: [{ ...call.charges[0]!, legUuid: told.legUuid, endedAt: told.leg.endedAt! }],
    }
    await here.journal.append(record)
    here.source.recorded(record)
    here.live.delete(live)
    t.equal(here.source.waiting, 0)
    // What comes after that is not even written down.
    await here.source.receive(told.caller())
    t.same([...here.journal.documents()], [])
    return here
  },
)

story(
  'a leg that was charged otherwise than it says itself is told to the operator, and stays as it is',
  async (t, told) => {
    const here = await node(t)
    const { callUuid, startedAt, legUuid } = told
    const call = paidCall(55_000, { callUuid, startedAt })
    const [charge] = call.charges
    await commitRecords(pool, [
      { ...call, charges: [{ ...charge!, legUuid, endedAt: startedAt + 60 * second }] },
    ])
    await here.source.receive(told.called())
    await idle(here)
    t.match(
      here.lines.filter(({ level }) => level >= 50),
      [
        {
          call: callUuid,
          leg: legUuid,
          chargedTo: startedAt + 60 * second,
          endedAt: startedAt + 65 * second,
        },
      ],
    )
    t.match(await cdrsOf(pool, callUuid), [{ source: 'session', billed_ms: '55000' }])
    return here
  },
)

story('a called leg that tells first waits for its caller’s', async (t, told) => {
  let asked = 0
  const here = await node(t, { pool: counting(pool, () => asked++) })
  // To another node went nothing but this.
  const other = await node(t)
  await other.source.receive(told.called())
  await here.source.receive(told.called())
  // So often it was looked what there is of it.
  await until(() => (asked > 20 ? true : undefined))
  t.same(await cdrsOf(pool, told.callUuid), [])
  await here.source.receive(told.caller())
  t.match(await cdrOf(told.callUuid), { source: 'json_cdr', cost: '500.000000' })
  await idle(other)
  return here
})

story('a called leg that outlives its caller is charged to its own end', async (t, told) => {
  let answer: boolean | undefined = true
  let asked = 0
  const has = (): Promise<boolean | undefined> => {
    asked++
    return Promise.resolve(answer)
  }
  const here = await node(t, { elsewhere: { has, heardAt: () => 0, isLinked: () => false } })
  await here.source.receive(told.caller())
  await until(() => (asked > 2 ? true : undefined))
  t.same(await cdrsOf(pool, told.callUuid), [])
  answer = undefined
  await here.source.receive(told.called(told.startedAt + 95 * second))
  t.match(await cdrOf(told.callUuid), { billed_ms: '90000', cost: '750.000000' })
  return here
})

story(
  'a leg that talked on without its caller, and of whose end nobody tells, is charged as far as it was there',
  async (t, told) => {
    const leftAt = told.startedAt + 20 * second
    const seenAt = told.startedAt + 50 * second
    let isThere = true
    const elsewhere = { has: () => Promise.resolve(isThere), heardAt: () => seenAt, isLinked: () => true }
    const here = await node(t, { elsewhere })
    await here.journal.openCall(told.callUuid, told.open(leftAt, { endedAt: leftAt, hasLeft: true }))
    here.source.observe(told.event(told.variables()))
    // On the disk: this server may not live to see the end of it.
    await until(() =>
      readOpenRecord(here.journal.openCallOf(told.callUuid)?.data)?.legs[0]?.endedAt === seenAt
        ? true
        : undefined,
    )
    t.same(await cdrsOf(pool, told.callUuid), [])
    isThere = false
    t.match(await cdrOf(told.callUuid), { source: 'link', billed_ms: '45000', cost: '375.000000' })
    return here
  },
)

story('a leg that ends while the switch is asked for it is charged to its own end', async (t, told) => {
  const leftAt = told.startedAt + 20 * second
  const has = async (): Promise<boolean> => {
    await here.source.receive(told.called())
    return false
  }
  const here = await node(t, { elsewhere: { has, heardAt: () => 0, isLinked: () => true } })
  await here.journal.openCall(told.callUuid, told.open(leftAt, { endedAt: leftAt, hasLeft: true }))
  here.source.observe(told.event(told.variables()))
  t.match(await cdrOf(told.callUuid), { billed_ms: '60000', cost: '500.000000' })
  return here
})

story(
  'a leg that was connected with another call while it rang is charged, though its caller never talked to it',
  async (t, told) => {
    let asked = 0
    const has = (_: unknown, uuid: string): Promise<boolean> => {
      asked++
      return Promise.resolve(uuid === told.legUuid)
    }
    const here = await node(t, { elsewhere: { has, heardAt: () => 0, isLinked: () => true } })
    const originated_legs = `${told.legUuid};Outbound Call;84901234567`
    const variables = {
      ...told.variables(),
      bridge_uuid: '',
      transfer_disposition: 'replaced',
      originated_legs,
    }
    here.source.observe(told.event(variables))
    await until(() => (asked > 2 ? true : undefined))
    t.same(await cdrsOf(pool, told.callUuid), [])
    await here.source.receive(told.called())
    t.match(await cdrOf(told.callUuid), { billed_ms: '60000', cost: '500.000000' })
    return here
  },
)

story(
  'a leg that talks on is waited for while its link is down, and not longer than it may talk',
  async (t, told) => {
    const elsewhere = { has: () => Promise.resolve(undefined), heardAt: () => 0, isLinked: () => true }
    const here = await node(t, { elsewhere })
    const left = { endedAt: told.startedAt + 20 * second, hasLeft: true }
    await here.journal.openCall(told.callUuid, told.open(0, left))
    here.source.observe(told.event(told.variables()))
    const old = new Told((Date.now() - 5 * 60 * 60 * 1000) * 1000)
    await here.journal.openCall(
      old.callUuid,
      old.open(0, { endedAt: old.startedAt + 20 * second, hasLeft: true }),
    )
    here.source.observe(old.event(old.variables()))
    t.match(await cdrOf(old.callUuid), { source: 'link', billed_ms: '15000' })
    t.same(await cdrsOf(pool, told.callUuid), [])
    here.source.observe(
      told.event({
        ...told.variables(),
        uuid: told.legUuid,
        direction: 'outbound',
        linger_call: '',
        linger_leg: encodeLegState({ callUuid: told.callUuid, tenant: 'demo', attempt }),
        end_uepoch: String(told.startedAt + 65 * second),
      }),
    )
    t.match(await cdrOf(told.callUuid), { billed_ms: '60000', cost: '500.000000' })
    return here
  },
)

story(
  'a call that its switch knows no more is closed as it was last seen; what is told a day later replaces that once',
  async (t, told) => {
    const here = await node(t)
    await here.journal.openCall(told.callUuid, told.open(told.startedAt + 35 * second))
    here.source.gone(told.callUuid, told.startedAt + 40 * second)
    t.match(await cdrOf(told.callUuid), { source: 'incomplete', billed_ms: '35000', cost: '291.670000' })
    await idle(here)
    t.same(here.journal.openCalls(), [])
    for (const document of [told.called(), told.caller(), told.called(), told.caller()])
      await here.source.receive(document)
    await until(async () =>
      (await cdrsOf(pool, told.callUuid))[0]?.source === 'json_cdr' ? true : undefined,
    )
    await idle(here)
    t.match(await cdrsOf(pool, told.callUuid), [
      { source: 'json_cdr', billed_ms: '60000', cost: '500.000000' },
    ])
    t.equal((await linesOf(told.callUuid)).length, 2)
    return here
  },
)

story(
  'a call that is gone, of which a called leg has told, is charged to that leg’s own end',
  async (t, told) => {
    const here = await node(t)
    await here.journal.openCall(told.callUuid, told.open(told.startedAt + 35 * second))
    await here.source.receive(told.called())
    here.source.gone(told.callUuid)
    t.match(await cdrOf(told.callUuid), { source: 'incomplete', billed_ms: '60000' })
    return here
  },
)

story('called legs alone, a day old: the call is closed as incomplete', async (t) => {
  const here = await node(t)
  const old = new Told((Date.now() - 25 * 60 * 60 * 1000) * 1000)
  await here.source.receive(old.called())
  t.match(await cdrOf(old.callUuid), { source: 'incomplete', billed_ms: '60000' })
  // Over a link alone it is not ours to keep for ever, and nobody's money: it is forgotten.
  const other = new Told(old.startedAt)
  const event = new Event('CHANNEL_HANGUP_COMPLETE')
  for (const [name, [value = '']] of other.called().event) event.set(name, value)
  here.source.observe(event)
  await idle(here)
  t.same(await cdrsOf(pool, other.callUuid), [])
  return here
})

story(
  'a server that accepted a call and died before it did anything: its CDR is nobody’s, and there',
  async (t, told) => {
    const here = await node(t)
    const variables = told.unmarked({ current_application: 'socket' })
    await here.source.receive(fromJsonCdr({ switchname: 'vm', variables }))
    t.match(await cdrOf(told.callUuid), { source: 'json_cdr', cost: '0.000000' })
    return here
  },
)

story('a call for which there was no server any more has a CDR that says so', async (t, told) => {
  const here = await node(t)
  const variables = told.unmarked({ current_application: 'hangup', linger_left_1: '1795207541190000' })
  await here.source.receive(fromJsonCdr({ switchname: 'vm', variables }))
  t.match(await cdrOf(told.callUuid), { source: 'json_cdr', cost: '0.000000' })
  return here
})

story('a call of somebody else’s is not kept', async (t, told) => {
  const here = await node(t)
  const variables = told.unmarked({ current_application: 'playback' })
  await here.source.receive(fromJsonCdr({ switchname: 'vm', variables }))
  here.source.observe(told.event(variables))
  t.equal(here.source.waiting, 0)
  t.same([...here.journal.documents()], [])
  t.ok(fromHangupComplete(told.event(variables)))
  return here
})

story('what a process that died had taken is taken up by the next one', async (t, told) => {
  const before = await node(t, { isIdle: true })
  await before.source.receive(told.called())
  await before.source.receive(told.caller())
  await before.close()
  const here = await node(t, { dir: before.dir })
  here.source.start()
  t.match(await cdrOf(told.callUuid), { source: 'json_cdr', cost: '500.000000' })
  return here
})

story(
  'while PostgreSQL is away nothing is decided; when it is back, the sessions come first',
  async (t, told) => {
    const line = await Line.to(t, url)
    const distant = openPool(line.url(url), { max: 2 })
    t.teardown(() => distant.end())
    let asked = 0
    const here = await node(t, { pool: counting(distant, () => asked++), graceMs: 1_000, sweepMs: 20 })
    await line.cut()
    await here.source.receive(told.caller())
    await here.source.receive(told.called())
    // Longer than the grace: each question fails at once, and no two are asked within 20 ms.
    await until(() => (asked > 55 ? true : undefined))
    t.ok(here.lines.some(({ msg }) => msg.startsWith('PostgreSQL does not answer')))
    await line.mend()
    await until(() => here.lines.find(({ msg }) => msg.startsWith('PostgreSQL answers again')))
    // The grace begins now.
    asked = 0
    await until(() => (asked > 3 ? true : undefined))
    t.same(await cdrsOf(pool, told.callUuid), [])
    const { callUuid, startedAt, leg } = told
    const call = paidCall(60_000, { callUuid, startedAt })
    const charges = [{ ...call.charges[0]!, legUuid: leg.uuid, endedAt: leg.endedAt! }]
    await commitRecords(pool, [{ ...call, charges }])
    await idle(here)
    t.match(await cdrsOf(pool, callUuid), [{ source: 'session' }])
    return here
  },
)

story('what links tell is held within bounds, and said when it is not', async (t) => {
  const here = await node(t, { maxTold: 3, graceMs: 200 })
  const calls = Array.from({ length: 5 }, () => new Told())
  for (const told of calls) here.source.observe(told.event(told.variables()))
  await idle(here)
  const found = await Promise.all(calls.map(async ({ callUuid }) => (await cdrsOf(pool, callUuid)).length))
  t.same(found, [0, 0, 1, 1, 1])
  t.equal(here.lines.filter(({ msg }) => msg.includes('oldest')).length, 2)
  return here
})

/** The pool, and how often it is asked something. */
function counting(pool: pg.Pool, onAsked: () => void): pg.Pool {
  return new Proxy(pool, {
    get(target, name) {
      if (name === 'query') onAsked()
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}
