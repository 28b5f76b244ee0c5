import { createHash, randomUUID } from 'node:crypto'
import { withDatabase, withPool } from './database.js'
import type { Loaded, LoadWish } from './http-load-process.js'
import type { Processes } from './processes.js'
import { median } from './summary.js'
import { Worker } from './worker.js'

/** What a server served, asked as fast as it answers. */
export interface Served {
  /** Requests a second: the median of the rounds, and each round. */
  readonly perSecond: number
  readonly rounds: readonly number[]
  /** The median of the rounds. */
  readonly p99Ms: number
  /** µs of CPU a request, in its process and in the client's. */
  readonly serverCpuUs: number
  readonly clientCpuUs: number
}

export interface BlacklistResult {
  readonly connections: number
  /** Numbers of the blacklist; half of the look-ups find one. */
  readonly entries: number
  readonly linger: Served
  /** The same bytes, of servers that look nothing up. */
  readonly fastify: Served
  readonly http: Served
}

const connections = 32
const entries = 1000
const mostPerMinute = 10_000_000

/** How fast the whole server answers look-ups, the client in another process, beside what answers the same bytes. */
export function measureBlacklist(
  processes: Processes,
  serverUrl: string,
  { seconds, rounds }: { readonly seconds: number; readonly rounds: number },
  progress: (text: string) => void,
): Promise<BlacklistResult> {
  return withDatabase(serverUrl, async (databaseUrl) => {
    const linger = await processes.startServer('d', databaseUrl)
    const authorization = `Bearer ${await makeKey(databaseUrl)}`
    const port = await linger.httpPort()
    const client = await Worker.start('./http-load-process.js', [], [])
    const workers = [client]
    try {
      const numbers = Array.from({ length: entries }, (_, i) => `0901${String(100_000 + i)}`)
      const body = await fill(port, authorization, numbers)
      // Every second one is not there: that is looked up in more places.
      const paths = numbers.flatMap((number) => [number, `1${number.slice(1)}`])
      const wish = { authorization, connections, paths: paths.map((number) => `/v1/blacklist/${number}`) }
      const bare = async (kind: 'fastify' | 'http') => {
        const worker = await Worker.start('./http-bare-process.js', [kind, body], [])
        workers.push(worker)
        return {
          port: (await worker.ask('port')) as number,
          cpu: async () => (await worker.ask('cpu')) as number,
        }
      }
      const servers = {
        linger: { port, cpu: () => linger.cpu() },
        fastify: await bare('fastify'),
        http: await bare('http'),
      }
      const samples = { linger: [] as Sample[], fastify: [] as Sample[], http: [] as Sample[] }
      // The first round, in which code is compiled, does not count.
      for (let round = 0; round <= rounds; round++)
        for (const name of ['linger', 'fastify', 'http'] as const) {
          progress(`blacklist, round ${round} of ${rounds}: ${name}`)
          const server = servers[name]
          const before = await server.cpu()
          const asked: LoadWish = {
            ...wish,
            port: server.port,
            seconds,
            statuses: name === 'linger' ? [200, 404] : [200],
          }
          const loaded = (await client.ask('load', asked)) as Loaded
          const serverCpu = (await server.cpu()) - before
          if (round > 0) samples[name].push({ ...loaded, serverCpu })
        }
      return {
        ...{ connections, entries },
        linger: summary(samples.linger),
        fastify: summary(samples.fastify),
        http: summary(samples.http),
      }
    } finally {
      for (const worker of workers.reverse()) await worker.stop()
      await linger.stop()
    }
  })
}

interface Sample extends Loaded {
  readonly serverCpu: number
}

function summary(samples: readonly Sample[]): Served {
  const rounds = samples.map(({ requests, seconds }) => requests / seconds)
  return {
    perSecond: median(rounds),
    rounds,
    p99Ms: median(samples.map(({ p99Ms }) => p99Ms)),
    serverCpuUs: median(samples.map(({ serverCpu, requests }) => serverCpu / requests)),
    clientCpuUs: median(samples.map(({ cpu, requests }) => cpu / requests)),
  }
}

/** One that may ask as often as it can. */
function makeKey(databaseUrl: string): Promise<string> {
  return withPool(databaseUrl, 1, async (pool) => {
    const key = `bench_${randomUUID()}`
    await pool.query(`INSERT INTO api_keys (hash, role, requests_per_minute) VALUES ($1, 'operate', $2)`, [
      createHash('sha256').update(key).digest(),
      mostPerMinute,
    ])
    return key
  })
}

/** @returns what a look-up answers */
async function fill(port: number, authorization: string, numbers: readonly string[]): Promise<string> {
  const url = `http://127.0.0.1:${port}/v1/blacklist`
  for (let start = 0; start < numbers.length; start += 500) {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify({ numbers: numbers.slice(start, start + 500), reason: 'bench' }),
    })
    if (answer.status !== 201) throw new Error(`the blacklist cannot be filled: ${answer.status}`)
  }
  return (await fetch(`${url}/${numbers[0] ?? ''}`, { headers: { authorization } })).text()
}
