import { gatewayDialString } from '../../src/numbering/dial-string.js'
import type { CallOptions } from '../../test/support/switch/call.js'
import { dialplanVariables } from '../dialplan.js'

/**
 * The call that is measured, the same for every server: an answered call to a mobile, which the caller
 * ends. It costs money where there is somebody to charge it (`whole`).
 */
const caller = '1000'
const called = '0901234567'

const call = {
  caller,
  called,
  variables: { accountcode: caller, ...dialplanVariables },
  // Only `whole` takes it off, as its first act; here it must not end the calls of the others.
  guardSeconds: 24 * 60 * 60,
  // Real time: an instant clock would take a busy server for a silent one.
  speed: 1,
} satisfies CallOptions

/** Rings, is answered, talks for a moment: long enough to cost something. */
export function callOptions(port: number): CallOptions {
  return {
    ...call,
    to: [{ host: '127.0.0.1', port }],
    farEnd: { ringsAfterMs: 5, answersAfterMs: 10, callerHangsUpAfterMs: 50 },
  }
}

/** The same up to the answer, and then it talks until it is told to stop. */
export function heldCallOptions(port: number): CallOptions {
  return {
    ...call,
    to: [{ host: '127.0.0.1', port }],
    farEnd: { ringsAfterMs: 5, answersAfterMs: 10 },
  }
}

export const dialString = gatewayDialString('carrier1', '84901234567', {
  callerNumber: caller,
  ringSeconds: 60,
  maxSeconds: 14_400,
})

/** What Linger's handshake leaves of the events that `myevents` brings. */
export const eventNames = [
  'CHANNEL_ANSWER',
  'CHANNEL_APPLICATION',
  'CHANNEL_BRIDGE',
  'CHANNEL_CREATE',
  'CHANNEL_DESTROY',
  'CHANNEL_EXECUTE_COMPLETE',
  'CHANNEL_HANGUP',
  'CHANNEL_HANGUP_COMPLETE',
  'CHANNEL_PROGRESS',
  'CHANNEL_PROGRESS_MEDIA',
  'CHANNEL_UNBRIDGE',
  'CALL_UPDATE',
  'DETECTED_SPEECH',
] as const

/** For the servers that have no commands of their own. */
export const handshake =
  'connect\n\nlinger 30\n\nmyevents json\n\nnixevent CHANNEL_STATE CHANNEL_CALLSTATE CHANNEL_EXECUTE CHANNEL_PARK ' +
  'CHANNEL_UNPARK CHANNEL_OUTGOING CHANNEL_ORIGINATE CHANNEL_UUID CHANNEL_DATA DTMF TALK NOTALK\n\nevent json RECORD_STOP\n\n'
export const bridgeMessage =
  'sendmsg\ncall-command: execute\nexecute-app-name: bridge\n' + `execute-app-arg: ${dialString}\n\n`

/** Stands in no other event. */
export const lastEvent = '"CHANNEL_HANGUP_COMPLETE"'
