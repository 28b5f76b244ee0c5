import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { startEmbeddedPostgres } from '../../src/embedded/postgres.js'
import { startEmbeddedRedis } from '../../src/embedded/redis.js'
import { answer } from './worker.js'

/**
 * PostgreSQL and Redis, with their usual settings, and away from the measured server: a Redis in JavaScript
 * would run in its process.
 */

const log = pino({ level: 'warn' })
const dataDir = await mkdtemp(join(tmpdir(), 'linger-bench-'))
const postgres = await startEmbeddedPostgres({ dataDir, log })
const redis = await startEmbeddedRedis({ dataDir, log })

export interface Services {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly redisKind: string
  readonly dataDir: string
}

answer(
  {
    services: (): Services => ({
      databaseUrl: postgres.url,
      redisUrl: redis.url,
      redisKind: redis.kind,
      dataDir,
    }),
  },
  async () => {
    await redis.stop()
    await postgres.stop()
    await rm(dataDir, { recursive: true, force: true })
  },
)
