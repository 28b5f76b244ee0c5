import { cpuUsage } from 'node:process'
import { collectedMemory } from './memory.js'
import { answer } from './worker.js'
import { startBare } from './servers/bare.js'
import { startEslPackage } from './servers/esl-package.js'
import { startLinger } from './servers/linger.js'
import { startNothing } from './servers/nothing.js'
import type { BenchServer } from './servers/server.js'
import { startWhole } from './servers/whole.js'

/** The process of one measured server: answers `port`, `cpu` and `memory`. */

const [kind = '', databaseUrl = '', redisUrl = '', logFile = ''] = process.argv.slice(2)
const starts: Readonly<Record<string, () => Promise<BenchServer>>> = {
  nothing: startNothing,
  bare: startBare,
  linger: startLinger,
  esl: startEslPackage,
  whole: () => startWhole(databaseUrl, redisUrl, logFile),
}

const start = starts[kind]
if (start === undefined) throw new Error(`no such server: ${kind}`)
const server = await start()

answer(
  {
    port: () => server.port,
    httpPort: () => server.httpPort,
    /** µs of CPU, user and system, since the process began. */
    cpu: () => {
      const { user, system } = cpuUsage()
      return user + system
    },
    memory: collectedMemory,
  },
  () => server.close(),
)
