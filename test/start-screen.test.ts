import t from 'tap'
import { startScreen } from '../src/start-screen.js'

const facts = {
  eslAddress: '127.0.0.1:9000',
  httpAddress: '127.0.0.1:8080',
  postgres: { kind: 'embedded', url: 'postgres://linger:geheim@127.0.0.1:40001/linger' },
  redis: { kind: 'embedded (built-in)', url: 'redis://:geheim@127.0.0.1:40002/0' },
  dataDir: '/srv/linger/.linger',
}

t.test('the start screen says what listens where, which services run and where the data lies', (t) => {
  const screen = startScreen(facts)
  t.match(screen, '127.0.0.1:9000 (')
  t.match(screen, 'http://127.0.0.1:8080')
  t.match(screen, 'embedded, 127.0.0.1:40001/linger')
  t.match(screen, 'embedded (built-in), 127.0.0.1:40002/0')
  t.match(screen, '/srv/linger/.linger')
  t.match(screen, '<action application="socket" data="127.0.0.1:9000 async full"/>')
  t.notMatch(screen, 'deny_refer_requests', 'phones may transfer')
  t.match(screen, 'npm run demo')
  t.notMatch(screen, 'geheim', 'and shows no password')
  t.notMatch(screen, 'Admin key', 'nor a key that is not new')
  t.ok(screen.split('\n').length <= 24, 'on one screen')
  t.end()
})

t.test('a first start shows its admin key, ready to be used', (t) => {
  const screen = startScreen({ ...facts, firstAdminKey: 'k'.repeat(32), logFile: '/var/log/linger.log' })
  t.match(screen, `Admin key    ${'k'.repeat(32)}`)
  t.match(screen, `curl -H "Authorization: Bearer ${'k'.repeat(32)}" http://127.0.0.1:8080/v1/cdrs`)
  t.match(screen, '/var/log/linger.log')
  t.end()
})

t.test('a server on every address is reached by one', (t) => {
  const screen = startScreen({ ...facts, eslAddress: '0.0.0.0:9000', httpAddress: '[::]:8080' })
  t.match(screen, 'data="127.0.0.1:9000 async full"')
  t.match(screen, 'http://127.0.0.1:8080/v1/cdrs')
  t.end()
})
