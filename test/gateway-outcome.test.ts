import t from 'tap'
import { gatewayOutcome, type GatewayOutcome } from '../src/numbering/gateway-outcome.js'
import { sipStatusIn, causeIn } from '../src/channel/bridge.js'
import { recorded } from './support/recorded.js'

t.test('how each recorded bridge ended says whether another gateway is tried', async (t) => {
  const table: [string, GatewayOutcome][] = [
    ['bridge-refused-404', 'served'],
    ['bridge-refused-480', 'served'],
    ['bridge-refused-486', 'served'],
    ['bridge-refused-603', 'served'],
    ['bridge-no-answer', 'served'],
    ['bridge-refused-503', 'failed'],
    ['bridge-nobody-listens', 'failed'],
    ['bridge-failover', 'failed'],
  ]
  for (const [recording, expected] of table) {
    const complete = recorded(recording).events.filter(
      (event) => event.name === 'CHANNEL_EXECUTE_COMPLETE' && event.peek('Application') === 'bridge',
    )
    t.equal(complete.length, 1)
    for (const event of complete) {
      const cause = causeIn(event, 'variable_originate_disposition') ?? ''
      t.equal(
        gatewayOutcome({ isConnected: false, cause, ...sipStatusIn(event, cause) }),
        expected,
        `${recording}: ${cause}`,
      )
    }
  }
})

t.test('a carrier that refuses its customer is not the far end that rejects a call', async (t) => {
  const rejected = (sipStatus?: number) =>
    gatewayOutcome({
      isConnected: false,
      cause: 'CALL_REJECTED',
      ...(sipStatus !== undefined && { sipStatus }),
    })
  for (const status of [401, 402, 403, 407]) t.equal(rejected(status), 'refused', String(status))
  t.equal(rejected(603), 'served')
  t.equal(rejected(), 'served')
})

t.test('a carrier beyond which nobody answered in time is there itself', async (t) => {
  const timedOut = (sipStatus?: number) =>
    gatewayOutcome({
      isConnected: false,
      cause: 'RECOVERY_ON_TIMER_EXPIRE',
      ...(sipStatus !== undefined && { sipStatus }),
    })
  t.equal(timedOut(504), 'refused')
  for (const status of [undefined, 408]) t.equal(timedOut(status), 'failed', 'nobody says who made it')
  const [ofCarrier, ofSwitch] = ['bridge-refused-503', 'bridge-nobody-listens'].map((recording) => {
    const complete = recorded(recording).events.findLast(
      (event) => event.name === 'CHANNEL_EXECUTE_COMPLETE' && event.peek('Application') === 'bridge',
    )
    return complete?.peek('variable_sip_invite_failure_status')
  })
  t.equal(ofCarrier, '503')
  t.equal(ofSwitch, ofCarrier, 'a status that the switch made itself looks like one that came')
})

t.test('causes that no recording has', async (t) => {
  const outcome = (cause: string) => gatewayOutcome({ isConnected: false, cause })
  for (const cause of [
    'GATEWAY_DOWN',
    'INVALID_GATEWAY',
    'NETWORK_OUT_OF_ORDER',
    'RECOVERY_ON_TIMER_EXPIRE',
    'PROGRESS_TIMEOUT',
    'NORMAL_CIRCUIT_CONGESTION',
  ])
    t.equal(outcome(cause), 'failed', cause)
  for (const cause of ['NO_ROUTE_DESTINATION', 'INCOMPATIBLE_DESTINATION', 'INTERWORKING', 'WHATEVER'])
    t.equal(outcome(cause), 'refused', cause)
  t.equal(
    gatewayOutcome({ isConnected: true, cause: 'NORMAL_TEMPORARY_FAILURE' }),
    'served',
    'they have talked',
  )
})
