import type { Test } from 'tap'
import { Channel } from '../../src/channel/channel.js'
import type { Event } from '../../src/esl/event.js'
import { listen } from './served.js'
import type { Call, CallOptions, CallOutcome } from './switch/call.js'
import type { Action } from './switch/dialplan.js'
import { SimulatedSwitch } from './switch/switch.js'

/** How a call came out whose server was a story. */
export interface Told {
  readonly outcome: CallOutcome
  /** What the story threw, if it threw. */
  readonly error: unknown
  /** What the server said, one line a command: `execute playback a.wav`, `uuid_setvar UUID a b`, `hangup USER_BUSY`. */
  readonly said: readonly string[]
  /** Events of the call, by name. */
  readonly events: readonly Event[]
}

export interface StoryOptions extends Partial<CallOptions> {
  readonly sw?: SimulatedSwitch
  /** What the dialplan does before `socket`. */
  readonly before?: readonly Action[]
  /** The path of its `socket`. */
  readonly path?: string
  /** The call has come in. */
  readonly onCall?: (call: Call) => void
}

/**
 * A call on the simulated switch that is served by a story in a channel's verbs; who is still there at its end is hung
 * up.
 */
export async function tell(
  t: Test,
  story: (channel: Channel, call: Call) => Promise<void>,
  { sw = newSwitch(t), onCall, before = [], path, nextActions = [], ...options }: StoryOptions = {},
): Promise<Told> {
  let error: unknown
  const events: Event[] = []
  let ready: (call: Call) => void = () => undefined
  const isThere = new Promise<Call>((resolve) => {
    ready = resolve
  })
  const { listener } = await listen(t, {
    onCall: async ({ connection, channel: data }) => {
      const isAnswered = data.get('Answer-State') === 'answered'
      const uuid = data.get('Unique-ID') ?? ''
      const channel = new Channel(connection, uuid, (event) => events.push(event), isAnswered)
      try {
        await story(channel, await isThere)
      } catch (thrown) {
        error = thrown
      }
      if (channel.isUp) await channel.hangup('NORMAL_CLEARING')
      await channel.finalEvent(10_000)
      await channel.exit().catch(() => undefined)
    },
  })
  const { address: host, port } = listener.address
  const to = { host, port, ...(path !== undefined && { path }) }
  const dialplan = [...before, { socket: [to] }, ...nextActions]
  const parties = { caller: '0912406496', called: '0901234567' }
  const call = sw.call({ ...parties, dialplan, ...options })
  onCall?.(call)
  ready(call)
  const outcome = await call.ended
  const commands = outcome.connections.flatMap((connection) => connection.commands)
  const said = commands.slice(5).map(({ line, headers, body }) => {
    const kind = headers.get('call-command')
    if (kind === 'hangup') return `hangup ${headers.get('hangup-cause') ?? ''}`
    const argument = headers.get('execute-app-arg') ?? body
    if (kind === 'execute')
      return ['execute', headers.get('execute-app-name'), argument]
        .filter((word) => word !== undefined)
        .join(' ')
    return line.replace(/^api /, '').replaceAll(call.uuid, 'UUID')
  })
  return { outcome, error, said, events }
}

export function newSwitch(
  t: Pick<Test, 'teardown'>,
  options: ConstructorParameters<typeof SimulatedSwitch>[0] = {},
): SimulatedSwitch {
  const sw = new SimulatedSwitch(options)
  t.teardown(() => {
    sw.destroy()
  })
  return sw
}
