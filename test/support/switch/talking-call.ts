import type { Test } from 'tap'

import type { Call, CallOptions } from './call.js'
import { dialIn, listen, type Conversation } from './conversation.js'
import type { InboundPort } from './inbound.js'
import { SimulatedSwitch } from './switch.js'

/** What the tests of the inbound side begin with. */

export const password = 'ClueCon'
export const parties = { caller: '0912406496', called: '0901234567' }
export const handshake = 'connect\n\nlinger 10\n\nmyevents json\n\n'
export const carrier = 'sofia/gateway/carrier1/84901234567'
/** What Linger's link subscribes to. */
export const linkEvents =
  'CHANNEL_CREATE CHANNEL_PROGRESS CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_UNBRIDGE CHANNEL_HANGUP_COMPLETE ' +
  'BACKGROUND_JOB HEARTBEAT CUSTOM callcenter::info'

/** A command that executes an application. */
export function execute(application: string, argument: string): string {
  const given = argument === '' ? '' : `execute-app-arg: ${argument}\n`
  return `sendmsg\ncall-command: execute\nexecute-app-name: ${application}\n${given}\n`
}

export async function linkedSwitch(t: Test): Promise<{ sw: SimulatedSwitch; port: InboundPort }> {
  const sw = new SimulatedSwitch({ noticeOrder: 'recorded' })
  t.teardown(() => {
    sw.destroy()
  })
  return { sw, port: await sw.listenInbound({ password }) }
}

export interface TalkingCall {
  readonly sw: SimulatedSwitch
  readonly port: InboundPort
  /** Hears of both legs. */
  readonly link: Conversation
  /** The call's own. */
  readonly server: Conversation
  readonly call: Call
  /** Of the leg that it talks to. */
  readonly legUuid: string
}

/** A call whose server has bridged it to a carrier that never hangs up, unless told. */
export async function talkingCall(
  t: Test,
  options: Partial<CallOptions> = {},
  dialString = carrier,
): Promise<TalkingCall> {
  const { sw, port } = await linkedSwitch(t)
  const link = await dialIn(t, port, password, linkEvents)
  const esl = await listen(t)
  const call = sw.call({
    ...parties,
    to: [esl.to],
    farEnd: { ringsAfterMs: 20, answersAfterMs: 1000 },
    ...options,
  })
  const server = await esl.accept()
  server.send(handshake + execute('set', 'hangup_after_bridge=false') + execute('bridge', dialString))
  await server.until('+OK')
  while (!call.isTalking) {
    await new Promise(setImmediate)
    if (options.speed === 'manual') call.step()
  }
  await server.until('CHANNEL_BRIDGE')
  return { sw, port, link, server, call, legUuid: call.legs[0]!.uuid }
}

/** A row of `show channels as json`. */
export type Row = Readonly<Record<string, string>>

export async function channelRows(link: Conversation): Promise<readonly Row[]> {
  const { row_count: count, rows = [] } = JSON.parse(await link.api('show channels as json')) as {
    row_count: number
    rows?: readonly Row[]
  }
  if (count !== rows.length) throw new Error(`row_count ${count} of ${rows.length} rows`)
  return rows
}
