import { readFileSync } from 'node:fs'
import t from 'tap'
import { ConfigError, envExample, loadConfig, settings, settingsTable } from '../src/config.js'

const root = new URL('../../', import.meta.url)

t.test('without any setting the server runs on this machine alone', (t) => {
  const config = loadConfig({})
  t.same(config.eslListen, { host: '127.0.0.1', port: 9000 })
  t.same(config.httpListen, { host: '127.0.0.1', port: 8080 })
  t.equal(config.databaseUrl, undefined)
  t.equal(config.redisUrl, undefined)
  t.equal(config.adminKey, undefined)
  t.equal(config.screeningFailOpen, true)
  t.same([...config.trustedProfiles], ['internal'])
  t.equal(config.eslAllow.check('127.0.0.1'), true)
  t.equal(config.eslAllow.check('::1', 'ipv6'), true)
  t.equal(config.eslAllow.check('192.0.2.1'), false)
  t.end()
})

t.test('the environment wins over the file, and an empty value counts as none', (t) => {
  const file = 'MAX_CALLS=10\nLOG_LEVEL="debug" # said\nDEFAULT_COUNTRY=\nDATA_DIR=/var/lib/linger\n'
  const config = loadConfig({ MAX_CALLS: '20', DATA_DIR: '' }, file)
  t.equal(config.maxCalls, 20)
  t.equal(config.logLevel, 'debug')
  t.equal(config.defaultCountry, 'VN')
  t.equal(config.dataDir, '/var/lib/linger')
  t.end()
})

t.test('values are taken as they are meant', (t) => {
  t.same(loadConfig({ ESL_LISTEN: '[::1]:0' }).eslListen, { host: '::1', port: 0 })
  t.same(loadConfig({ HTTP_LISTEN: 'localhost:80' }).httpListen, { host: 'localhost', port: 80 })
  t.equal(loadConfig({ SCREENING_FAIL_OPEN: 'false' }).screeningFailOpen, false)
  t.same([...loadConfig({ TRUSTED_PROFILES: 'internal, lan-2' }).trustedProfiles], ['internal', 'lan-2'])
  t.equal(loadConfig({ TRUSTED_PROFILES: '-' }).trustedProfiles.size, 0)
  t.equal(loadConfig({ DATABASE_URL: 'postgresql://u:p@db/x' }).databaseUrl, 'postgresql://u:p@db/x')
  const { eslAllow } = loadConfig({ ESL_ALLOW: '192.0.2.7, 10.0.0.0/8,2001:db8::/32' })
  t.equal(eslAllow.check('192.0.2.7'), true)
  t.equal(eslAllow.check('192.0.2.8'), false)
  t.equal(eslAllow.check('10.200.0.1'), true)
  t.equal(eslAllow.check('::ffff:10.200.0.1', 'ipv6'), true)
  t.equal(eslAllow.check('2001:db8::1', 'ipv6'), true)
  t.equal(eslAllow.check('127.0.0.1'), false)
  t.end()
})

const wrong: [name: string, ...values: string[]][] = [
  [
    'ESL_LISTEN',
    '9000',
    ':9000',
    '127.0.0.1',
    '127.0.0.1:65536',
    '127.0.0.1:x',
    '::1:9000',
    '[x]:1',
    'a b:1',
  ],
  ['HTTP_LISTEN', 'http://127.0.0.1:8080', '127.0.0.1:-1'],
  ['DATABASE_URL', 'mysql://u:geheim@h/d', 'geheim', 'postgres://'],
  ['REDIS_URL', 'http://:geheim@h', 'geheim:6379'],
  ['ESL_ALLOW', 'localhost', '10.0.0.0/33', '::/129', '127.0.0.1,', '10.0.0.0/', '1.2.3'],
  ['MAX_CALLS', '0', '-1', '1.5', '1e3', '100001', 'many', '0x10'],
  ['ADMIN_KEY', 'geheim', 'geheim geheim geheim geheim', 'geheim'.repeat(30)],
  ['LOG_LEVEL', 'verbose', 'INFO'],
  ['TRUSTED_PROFILES', 'a b', ',', 'a;b'],
  ['DEFAULT_COUNTRY', 'vn', 'XX', 'VNM'],
  ['SCREENING_FAIL_OPEN', 'yes', '1'],
  ['SCREENING_TIMEOUT_MS', '9', '5001', '200ms'],
  ['FINAL_EVENT_SECONDS', '0', '601'],
  ['LINGER_SECONDS', '1', '901'],
  ['DRAIN_SECONDS', '-1', '86401'],
  ['CDR_RETENTION', '61d', '1m', '24', '2y', '36501d', '1201m', '-2m', '2.5m'],
]

for (const [name, ...values] of wrong) {
  t.test(`a wrong ${name} is refused in one line that says what is allowed`, (t) => {
    const setting = Object.values(settings).find((one) => one.name === name)!
    for (const value of values) {
      const error = refusal({ [name]: value })
      t.match(error.message, `${name} is `)
      t.match(error.message, setting.allowed)
      t.notMatch(error.message, '\n')
      t.notMatch(error.message, /geheim/, 'a secret is not shown')
      if (!('isSecret' in setting)) t.match(error.message, JSON.stringify(value))
    }
    t.end()
  })
}

t.test('a line break in a value stays on the one line', (t) => {
  t.match(refusal({ LOG_LEVEL: 'in\nfo' }).message, /^LOG_LEVEL is "in\\nfo"; allowed is .*$/)
  t.end()
})

t.test('FreeSWITCH must linger for longer than the final event is awaited', (t) => {
  t.match(
    refusal({ FINAL_EVENT_SECONDS: '30' }).message,
    /^LINGER_SECONDS is "30"; .*more than FINAL_EVENT_SECONDS/,
  )
  t.equal(loadConfig({ FINAL_EVENT_SECONDS: '30', LINGER_SECONDS: '31' }).finalEventSeconds, 30)
  t.end()
})

t.test('CDRs are kept for ever, or for days or months', (t) => {
  t.equal(loadConfig({}).cdrRetention, undefined)
  t.same(loadConfig({ CDR_RETENTION: '62d' }).cdrRetention, { unit: 'days', count: 62 })
  t.same(loadConfig({ CDR_RETENTION: '24m' }).cdrRetention, { unit: 'months', count: 24 })
  t.end()
})

t.test('.env.example lists every setting with its default, and is itself a valid file', (t) => {
  const text = readFileSync(new URL('.env.example', root), 'utf8')
  t.equal(text, envExample())
  t.same(loadConfig({}, text), loadConfig({}))
  t.end()
})

t.test('the README lists every setting with its default', (t) => {
  const squeezed = (text: string): string => text.replace(/ +/g, ' ').replace(/-{3,}/g, '---')
  t.match(squeezed(readFileSync(new URL('README.md', root), 'utf8')), squeezed(settingsTable()))
  t.end()
})

function refusal(env: Record<string, string>): Error {
  try {
    loadConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error(`${JSON.stringify(env)} was taken`)
}
