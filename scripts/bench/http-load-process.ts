import { Agent, get } from 'node:http'
import { cpuUsage } from 'node:process'
import { answer } from './worker.js'

/** The process that requests come from, over connections that are kept. Answers `load`. */

export interface LoadWish {
  readonly port: number
  readonly authorization: string
  readonly connections: number
  /** Asked one after the other, and again. */
  readonly paths: readonly string[]
  readonly seconds: number
  /** That a request may be answered with. */
  readonly statuses: readonly number[]
}

export interface Loaded {
  readonly requests: number
  readonly seconds: number
  readonly p99Ms: number
  /** µs of CPU of this process. */
  readonly cpu: number
}

answer({ load }, () => undefined)

async function load(wish: LoadWish): Promise<Loaded> {
  const { port, authorization, connections, paths, seconds, statuses } = wish
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const times: number[] = []
  const before = cpuUsage()
  const from = performance.now()
  const end = from + seconds * 1000
  let next = 0
  const ask = (path: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const request = get(
        { host: '127.0.0.1', port, path, agent, headers: { authorization } },
        (response) => {
          if (!statuses.includes(response.statusCode ?? 0))
            reject(new Error(`${path} was answered with ${response.statusCode ?? 0}`))
          response.on('error', reject).on('end', resolve).resume()
        },
      )
      request.on('error', reject)
    })
  const line = async (): Promise<void> => {
    while (performance.now() < end) {
      const path = paths[next++ % paths.length] ?? ''
      const asked = performance.now()
      await ask(path)
      times.push(performance.now() - asked)
    }
  }
  try {
    await Promise.all(Array.from({ length: connections }, line))
  } finally {
    agent.destroy()
  }
  const took = (performance.now() - from) / 1000
  const { user, system } = cpuUsage(before)
  times.sort((one, other) => one - other)
  return {
    requests: times.length,
    seconds: took,
    p99Ms: times[Math.floor(times.length * 0.99)] ?? 0,
    cpu: user + system,
  }
}
