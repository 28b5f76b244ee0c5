import { cpuUsage } from 'node:process'
import { SimulatedSwitch } from '../../test/support/switch/switch.js'
import type { Call } from '../../test/support/switch/call.js'
import { callOptions, heldCallOptions } from './scenario.js'
import { answer } from './worker.js'

/** The process that the calls come from: the simulated switch. Answers `play`, `hold` and `release`. */

export interface Played {
  /** From the first call's begin to the last one's end. */
  readonly seconds: number
  /** µs of CPU that the switch itself took. */
  readonly cpu: number
}

/**
 * One for each call at a time: on a common one every event is held against the filters of all calls that
 * the `esl` package serves, which costs the switch a square and the server nothing.
 */
const switches: SimulatedSwitch[] = []
let held: Call[] = []

interface Load {
  readonly port: number
  readonly calls: number
  /** Calls at a time. */
  readonly parallel: number
}

answer({ play, hold, release }, () => {
  for (const each of switches) each.destroy()
})

async function play({ port, calls, parallel }: Load): Promise<Played> {
  const before = cpuUsage()
  const from = performance.now()
  let left = calls
  await atOnce(parallel, async (line) => {
    while (left-- > 0) await finished(switchOf(line).call(callOptions(port)))
  })
  const { user, system } = cpuUsage(before)
  return { seconds: (performance.now() - from) / 1000, cpu: user + system }
}

/** Resolves when all the calls are talking. */
async function hold({ port, calls, parallel }: Load): Promise<void> {
  let begun = 0
  await atOnce(parallel, async () => {
    while (begun < calls) {
      const call = switchOf(begun++).call(heldCallOptions(port))
      held.push(call)
      await call.until('CHANNEL_BRIDGE')
    }
  })
}

async function release({ parallel }: { parallel: number }): Promise<void> {
  const calls = held
  held = []
  await atOnce(parallel, async () => {
    for (let call = calls.pop(); call !== undefined; call = calls.pop()) {
      call.hangup()
      await finished(call)
    }
  })
}

function switchOf(line: number): SimulatedSwitch {
  return (switches[line] ??= new SimulatedSwitch({ noticeOrder: 'recorded' }))
}

async function atOnce(count: number, work: (line: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, line) => work(line)))
}

/** @throws when the server did not do its part: the measure would be of something else */
async function finished(call: Call): Promise<void> {
  const { legs, connections, cause } = await call.ended
  const lastCommand = connections[0]?.commands.at(-1)?.line
  if (legs[0]?.answeredAt === undefined || lastCommand !== 'exit')
    throw new Error(
      `a call went wrong: it ended ${cause}, the server's last command was ${lastCommand ?? 'none'}`,
    )
}
