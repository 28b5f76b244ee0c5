import t from 'tap'
import { presentedCaller, type CallerIdRules } from '../src/numbering/caller-id.js'

const own = { callerIdNumber: '842873000001', callerIdName: 'ACME' }
const caller = { number: '1000', isEmergency: false }

t.test('whom a gateway presents', async (t) => {
  const table: [CallerIdRules, object][] = [
    [{ policy: 'caller' }, { callerNumber: '1000' }],
    [
      { policy: 'caller', name: 'Desk', header: 'pid' },
      { callerNumber: '1000', callerName: 'Desk', callerIdHeader: 'pid' },
    ],
    [{ policy: 'fixed', number: '+842873000009' }, { callerNumber: '+842873000009' }],
    [{ policy: 'tenant' }, { callerNumber: '842873000001', callerName: 'ACME' }],
    [
      { policy: 'tenant', name: 'Desk' },
      { callerNumber: '842873000001', callerName: 'Desk' },
    ],
    [
      { policy: 'anonymous', name: 'Desk', header: 'rpid' },
      { callerNumber: 'anonymous', callerName: 'Anonymous', isAnonymous: true, callerIdHeader: 'rpid' },
    ],
  ]
  for (const [rules, expected] of table)
    t.strictSame(presentedCaller(rules, caller, own), expected, JSON.stringify(rules))
})

t.test('a tenant without a number of its own presents the caller', async (t) => {
  t.strictSame(presentedCaller({ policy: 'tenant' }, caller, {}), { callerNumber: '1000' })
})

t.test('who calls an emergency number can be called back', async (t) => {
  const emergency = { ...caller, isEmergency: true }
  t.strictSame(presentedCaller({ policy: 'anonymous' }, emergency, own), {
    callerNumber: '842873000001',
    callerName: 'ACME',
  })
  t.strictSame(presentedCaller({ policy: 'anonymous' }, emergency, {}), { callerNumber: '1000' })
})
