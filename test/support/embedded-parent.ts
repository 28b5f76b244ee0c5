/**
 * A process that holds embedded services as the server does, for tests that kill it: its arguments are the
 * data folder and which service; its one line of output is the service's URL.
 */
import { pino } from 'pino'
import { startEmbeddedPostgres } from '../../src/embedded/postgres.js'
import { startEmbeddedRedis } from '../../src/embedded/redis.js'

const [dataDir = '', service] = process.argv.slice(2)
const log = pino({ level: 'silent' })
const { url } =
  service === 'redis'
    ? await startEmbeddedRedis({ dataDir, log })
    : await startEmbeddedPostgres({ dataDir, log })
process.stdout.write(`${url}\n`)
// Whoever started it ends it.
process.stdin.resume()
