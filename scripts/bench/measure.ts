import type { Played } from './load-process.js'
import type { Kind, Options } from './options.js'
import type { MeasuredServer, Processes } from './processes.js'
import { median } from './summary.js'

export interface CpuResult {
  /** ms of the server process, user and system, for one call: the median of the rounds, and each round. */
  readonly cpuMsPerCall: number
  readonly rounds: readonly number[]
  /** As they were played; where the switch is the slower one it is the switch's speed. */
  readonly callsPerSecond: number
  /** Calls that the server could take on a core of its own. */
  readonly callsPerSecondAndCore: number
  /** Of one core, in per cent, that the simulated switch took meanwhile. */
  readonly switchCpuPercent: number
}

export interface MemoryResult {
  /** Bytes for one call that is held open. */
  readonly rssPerCall: number
  readonly heapPerCall: number
  readonly externalPerCall: number
}

export type Results<T> = Partial<Record<Kind, T>>
type Progress = (text: string) => void

/** Rounds with every server in turn, so that what else the machine does hits all of them alike. */
export async function measureCpu(
  processes: Processes,
  { kinds, calls, parallel, rounds }: Options,
  progress: Progress,
): Promise<Results<CpuResult>> {
  const servers: MeasuredServer[] = []
  for (const kind of kinds) servers.push(await processes.startServer(kind))
  const play = (server: MeasuredServer) =>
    processes.load.ask('play', { port: server.port, calls, parallel }) as Promise<Played>
  for (const server of servers) {
    progress(`warming up (${server.kind})`)
    await play(server)
  }
  const samples = new Map<Kind, { cpu: number; played: Played }[]>(kinds.map((kind) => [kind, []]))
  for (let round = 1; round <= rounds; round++) {
    for (const server of servers) {
      progress(`CPU, round ${round} of ${rounds}: (${server.kind})`)
      const before = await server.cpu()
      const played = await play(server)
      samples.get(server.kind)?.push({ cpu: (await server.cpu()) - before, played })
    }
  }
  for (const server of servers) await server.stop()
  return Object.fromEntries(
    [...samples].map(([kind, all]) => {
      const perCall = all.map(({ cpu }) => cpu / 1000 / calls)
      const cpuMsPerCall = median(perCall)
      const result: CpuResult = {
        cpuMsPerCall,
        rounds: perCall,
        callsPerSecond: median(all.map(({ played }) => calls / played.seconds)),
        callsPerSecondAndCore: 1000 / cpuMsPerCall,
        switchCpuPercent: median(all.map(({ played }) => played.cpu / 1e4 / played.seconds)),
      }
      return [kind, result]
    }),
  )
}

/** In fresh processes: what a busy one has grown to would hide what a call takes. */
export async function measureMemory(
  processes: Processes,
  { kinds, held, parallel }: Options,
  progress: Progress,
): Promise<Results<MemoryResult>> {
  const results: Results<MemoryResult> = {}
  // Without any parsing there is nothing to be kept, and nothing to be learned.
  for (const kind of kinds.filter((each) => each !== 'a')) {
    progress(`memory: (${kind}) holds ${held} calls`)
    const server = await processes.startServer(kind)
    const { load } = processes
    await load.ask('play', { port: server.port, calls: warmUpCalls, parallel })
    const before = await server.memory()
    await load.ask('hold', { port: server.port, calls: held, parallel })
    const after = await server.memory()
    await load.ask('release', { parallel })
    await server.stop()
    results[kind] = {
      rssPerCall: (after.rss - before.rss) / held,
      heapPerCall: (after.heap - before.heap) / held,
      externalPerCall: (after.external - before.external) / held,
    }
  }
  return results
}

const warmUpCalls = 300

/** How many calls of each server there are in all. */
export function callsOf({ measures, rounds, calls, held }: Options): number {
  const forCpu = measures.includes('cpu') ? calls * (rounds + 1) : 0
  return forCpu + (measures.includes('memory') ? warmUpCalls + held : 0)
}
