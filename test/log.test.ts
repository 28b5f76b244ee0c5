import { readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { maskSecrets, openLog } from '../src/log.js'
import { waitUntil } from '../src/embedded/processes.js'
import { temporaryFolder } from './support/services.js'
import { readFileSync } from 'node:fs'

function recorder(): { lines: string[]; write: (line: string) => void } {
  const lines: string[] = []
  return { lines, write: (line) => lines.push(line) }
}

const has = (file: string, text: string) => () => readFileSync(file, 'utf8').includes(text)

t.test('the log goes to the console and to the file, at the level that was asked for', async (t) => {
  const file = join(await temporaryFolder(t), 'linger.log')
  const console = recorder()
  const { logger } = openLog({ level: 'debug', file, console })
  logger.trace('too fine')
  logger.debug({ callUuid: 'a-b' }, 'fine')
  t.equal(console.lines.length, 1)
  t.match(JSON.parse(console.lines[0]!), { level: 20, callUuid: 'a-b', msg: 'fine' })
  t.ok(await waitUntil(has(file, '"msg":"fine"'), 5_000))
  t.equal(await readFile(file, 'utf8'), console.lines[0])
})

t.test('a file is appended to, and opened again after logrotate has moved it', async (t) => {
  const file = join(await temporaryFolder(t), 'linger.log')
  openLog({ level: 'info', file, console: recorder() }).logger.info('first run')
  t.ok(await waitUntil(has(file, 'first run'), 5_000))
  const { logger, reopen } = openLog({ level: 'info', file, console: recorder() })
  logger.info('second run')
  t.ok(await waitUntil(has(file, 'second run'), 5_000))
  t.match(await readFile(file, 'utf8'), 'first run')
  await rename(file, `${file}.1`)
  reopen()
  logger.info('after the move')
  t.ok(await waitUntil(() => has(`${file}.1`, 'second run')() && isThere(file, 'after the move'), 5_000))
})

function isThere(file: string, text: string): boolean {
  try {
    return has(file, text)()
  } catch {
    return false
  }
}

t.test('a file that cannot be opened is a wrong setting', (t) => {
  t.throws(() => openLog({ level: 'info', file: '/nowhere/linger.log', console: recorder() }), {
    name: 'ConfigError',
    message: /^LOG_FILE is "\/nowhere\/linger.log"; allowed is a file that can be written to \(ENOENT.*\)$/,
  })
  t.end()
})

t.test('no secret reaches the log, wherever in a line it stands', (t) => {
  const console = recorder()
  const { logger } = openLog({ level: 'info', console })
  logger.error(
    { err: new Error('connect to postgres://linger:geheim@127.0.0.1:5432/linger failed') },
    'redis://:geheim@h',
  )
  logger.info(
    { headers: { authorization: 'Bearer geheim-1234' }, password: 'geheim "quoted" geheim' },
    'BEARER geheim',
  )
  t.equal(console.lines.length, 2)
  for (const line of console.lines) {
    t.notMatch(line, /geheim/)
    t.doesNotThrow(() => JSON.parse(line) as unknown, 'and the line is still JSON')
  }
  t.match(console.lines[0], 'postgres://linger:***@127.0.0.1:5432/linger')
  const harmless = '{"msg":"sip:1000@pbx.example http://127.0.0.1:8080/health 12:30"}\n'
  t.equal(maskSecrets(harmless), harmless)
  t.end()
})

t.test('a warning is written at once, and what was held back before it', async (t) => {
  const written: string[] = []
  const held: string[] = []
  const flush = () => {
    written.push(...held.splice(0))
  }
  const { logger } = openLog({ level: 'info', console: { write: (line) => held.push(line), flush } })
  logger.info('first')
  t.equal(written.length, 0)
  logger.warn('second')
  t.match(
    written.map((line) => (JSON.parse(line) as { msg: string }).msg),
    ['first', 'second'],
  )
})
