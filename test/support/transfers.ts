import type { Test } from 'tap'
import { auditBooks, auditMode } from '../../src/store/audit.js'
import { inTransaction } from '../../src/store/database.js'
import { testLinger, type TestLinger } from './linger.js'
import { Line } from './outage.js'
import type { Call, CallOptions, CallOutcome } from './switch/call.js'
import type { Destination } from './switch/dialplan.js'
import { SimulatedSwitch } from './switch/switch.js'
import { until } from './wire.js'

/** A server and a switch that tells it of all legs, with what their tests ask of the books. */

const password = 'ClueCon'
/** Both at 500 a minute. */
export const mobile = '0901234567'
export const otherMobile = '0907654321'

export interface World {
  readonly sw: SimulatedSwitch
  readonly linger: TestLinger
  /** How the switch tells of legs beside the calls' own sockets. */
  readonly settings: Readonly<Record<string, string>>
}

export type Telling = 'link' | 'json_cdr' | 'both'

/** A server, and a switch that tells it of all legs. */
export async function world(
  t: Test,
  telling: Telling = 'link',
  options: { readonly settings?: Readonly<Record<string, string>>; readonly sql?: string } = {},
): Promise<World> {
  const urls: string[] = []
  const sw = new SimulatedSwitch(telling === 'link' ? {} : { jsonCdr: { urls } })
  t.teardown(() => {
    sw.destroy()
  })
  const { port } = await sw.listenInbound({ password })
  const settings = {
    CREDIT_SLICE_SECONDS: '3',
    // It is about who has the call, not about a machine that has much to do.
    CREDIT_TIMEOUT_MS: '20000',
    SECOND_SOURCE_SECONDS: '1',
    ...(telling !== 'json_cdr' && { FREESWITCH: `esl://:${password}@127.0.0.1:${port}` }),
    ...options.settings,
  }
  const { sql = '' } = options
  const linger = await testLinger(t, settings, { sql })
  urls.push(`http://${linger.server.httpAddress}/freeswitch/cdr`)
  if (telling !== 'json_cdr') await until(() => sw.openSockets.size > 0)
  return { sw, linger, settings }
}

export function dial(
  { sw, linger, to: reached }: Pick<World, 'sw' | 'linger'> & { readonly to?: Destination },
  options: Partial<CallOptions> = {},
): Call {
  const to = [reached ?? linger.esl]
  return sw.call({
    to,
    guardSeconds: 15,
    caller: '1000',
    called: mobile,
    speed: 1,
    transferDialplan: () => [{ socket: to, guardSeconds: 15 }],
    ...options,
  })
}

/** How long a leg talked, cut to milliseconds as the switch does. */
export function talkedMs({ answeredAt, endedAt }: CallOutcome['legs'][number]): number {
  return Math.floor((endedAt ?? NaN) / 1000) - Math.floor((answeredAt ?? NaN) / 1000)
}

/** At 500 a minute. */
export function costOf(ms: number): string {
  return (Math.round((ms * 500) / 600) / 100).toFixed(2)
}

/** Nothing is held, and the ledger says what the balance does. */
export async function booksAddUp(
  t: Test,
  { pool, server }: Pick<TestLinger, 'pool' | 'server'>,
): Promise<void> {
  await server.delivered()
  const { rows } = await pool.query('SELECT FROM reservations')
  t.equal(rows.length, 0, 'nothing is reserved')
  t.same((await inTransaction(pool, auditBooks, auditMode)).findings, [])
}

export async function noOtherCdrs(t: Test, { pool }: Pick<TestLinger, 'pool'>, count: number): Promise<void> {
  const { rows } = await pool.query('SELECT FROM call_keys')
  t.equal(rows.length, count)
}

/** A server that can die, and come back where it was. */
export interface Mortal {
  readonly sw: SimulatedSwitch
  readonly linger: TestLinger
  /** Where the switch reaches it. */
  readonly to: Destination
  /** All at once: what it was connected to learns of it, and nothing else is said. */
  die(): Promise<void>
  /** @returns the same server, with the same journal */
  rise(): Promise<TestLinger>
}

/** @param slice in s */
export async function mortal(
  t: Test,
  slice: number,
  options: { readonly sql?: string; readonly settings?: Readonly<Record<string, string>> } = {},
): Promise<Mortal> {
  const sw = new SimulatedSwitch()
  t.teardown(() => {
    sw.destroy()
  })
  const { port } = await sw.listenInbound({ password })
  const link = await Line.to(t, `tcp://127.0.0.1:${port}`)
  const settings = {
    CREDIT_SLICE_SECONDS: String(slice),
    CREDIT_TIMEOUT_MS: '20000',
    SECOND_SOURCE_SECONDS: '1',
    FREESWITCH: link.url('esl://any:1').replace('esl://', `esl://:${password}@`),
    ...options.settings,
  }
  const linger = await testLinger(t, settings, options.sql === undefined ? {} : { sql: options.sql })
  const line = await Line.to(t, `tcp://${linger.esl.host}:${linger.esl.port}`)
  const { hostname: host, port: to } = new URL(line.url('tcp://any:1'))
  await until(() => sw.openSockets.size > 0)
  return {
    sw,
    linger,
    to: { host, port: Number(to) },
    die: async () => {
      await Promise.all([line.cut(), link.cut()])
      await linger.server.close({ deadlineMs: 0 })
    },
    rise: async () => {
      await Promise.all([line.mend(), link.mend()])
      const { host, port } = linger.esl
      const { databaseUrl, redisUrl, dataDir } = linger
      return testLinger(t, { ...settings, ESL_LISTEN: `${host}:${port}` }, { databaseUrl, redisUrl, dataDir })
    },
  }
}
