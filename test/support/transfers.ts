import type { Test } from 'tap'
import { testLinger, type TestLinger } from './linger.js'
import { Line } from './outage.js'
import type { Call, CallOptions } from './switch/call.js'
import type { Action, Destination } from './switch/dialplan.js'
import { SimulatedSwitch } from './switch/switch.js'
import type { OwnTenant } from './tenants.js'
import { until } from './wire.js'

/** Servers of which a switch tells of all legs, and that may die. */

const password = 'ClueCon'
/** Both at 500 a minute. */
export const mobile = '0901234567'
export const otherMobile = '0907654321'

/** As dialplan/linger.xml notes it after each `socket`. */
export const noteLeft: Action = { application: 'set', argument: 'linger_left_1=${strmicroepoch()}' }

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
    // Leaves three seconds to extend it in: a server that starts beside a talk may keep this process for one or two.
    CREDIT_SLICE_SECONDS: '6',
    ...(telling !== 'json_cdr' && { FREESWITCH: `esl://:${password}@127.0.0.1:${port}` }),
    ...options.settings,
  }
  const { sql = '' } = options
  const linger = await testLinger(t, settings, { sql })
  urls.push(`http://${linger.server.httpAddress}/freeswitch/cdr`)
  // Until its link is up, nobody tells of legs that talk on without their caller.
  await until(async () => {
    const { body } = await linger.http('GET', '/v1/switches')
    return (body as { readonly items: readonly { readonly up: boolean }[] }).items.every(({ up }) => up)
  })
  return { sw, linger, settings }
}

/** Where a story's calls go. */
export type Place = Pick<World, 'sw' | 'linger'> & {
  readonly to?: Destination
  /** Default: whose the extension is that calls. */
  readonly tenant?: OwnTenant['tenant']
}

export function dial({ sw, linger, to: reached, tenant }: Place, options: Partial<CallOptions> = {}): Call {
  const to = [reached ?? linger.esl]
  return sw.call({
    to,
    guardSeconds: 15,
    caller: '1000',
    called: mobile,
    speed: 1,
    ...(tenant !== undefined && { variables: { accountcode: tenant } }),
    transferDialplan: () => [{ socket: to, guardSeconds: 15 }],
    ...options,
  })
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
    FREESWITCH: link.url('esl://any:1').replace('esl://', `esl://:${password}@`),
    ...options.settings,
  }
  const linger = await testLinger(t, settings, options.sql === undefined ? {} : { sql: options.sql })
  const line = await Line.to(t, `tcp://${linger.esl.host}:${linger.esl.port}`)
  await until(() => sw.openSockets.size > 0)
  return {
    sw,
    linger,
    to: line.address,
    die: async () => {
      await Promise.all([line.cut(), link.cut()])
      await linger.server.close({ deadlineMs: 0 })
    },
    rise: async () => {
      await Promise.all([line.mend(), link.mend()])
      const { host, port } = linger.esl
      return testLinger(t, { ...settings, ESL_LISTEN: `${host}:${port}` }, linger)
    },
  }
}
