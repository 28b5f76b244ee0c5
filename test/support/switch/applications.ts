import { parseAssignment, parseAssignments } from './assignments.js'
import { bridge } from './bridge.js'
import { causeNamed, refusalOf } from './causes.js'
import { connectSocket } from './dialplan.js'
import { playAndGetDigits } from './digits.js'
import { answerChannel, finishRecording, play, playback, startRecording } from './media.js'
import { joinQueue } from './queue.js'
import { scheduledTime } from './scheduler.js'
import type { Session } from './session.js'

/** Runs on the channel's thread, between CHANNEL_EXECUTE and CHANNEL_EXECUTE_COMPLETE. */
export type Application = (session: Session, argument: string) => void | Promise<void>

/** What this switch can execute. Whatever else is asked for hangs the call up, as FreeSWITCH does. */
export const applications: ReadonlyMap<string, Application> = new Map<string, Application>([
  ['answer', answer],
  ['bridge', bridge],
  ['callcenter', joinQueue],
  ['eavesdrop', eavesdrop],
  ['endless_playback', waitForEver],
  ['export', exportVariable],
  ['hangup', hangUp],
  ['log', doNothing],
  ['multiset', setVariables],
  ['park', waitForEver],
  ['play_and_get_digits', playAndGetDigits],
  ['playback', playFile],
  ['pre_answer', doNothing],
  ['record_session', recordSession],
  ['respond', respond],
  ['ring_ready', doNothing],
  ['say', say],
  ['sched_hangup', scheduleHangup],
  ['set', setVariable],
  ['sleep', sleep],
  ['socket', connectSocket],
  ['start_dtmf', doNothing],
  ['stop_record_session', finishRecording],
  ['transfer', transfer],
  ['unset', unsetVariable],
])

function doNothing(): void {
  // Changes nothing that an event would show.
}

function answer(session: Session): void {
  if (session.channel.isAnswered) return
  answerChannel(session, false)
  session.channel.variables.set('endpoint_disposition', 'ANSWER')
  session.channel.callState = 'ACTIVE'
}

/** Until the one that it listens to is hung up, or it is itself. No recording shows it; as mod_dptools has it. */
async function eavesdrop(session: Session, uuid: string): Promise<void> {
  answer(session)
  const { sw } = session
  sw.whenGone(uuid, () => {
    session.signal('leg')
  })
  while (sw.legs.has(uuid) && session.isReady)
    if ((await session.wait(['leg', 'message'])) === 'message') await session.processMessages()
}

async function waitForEver(session: Session): Promise<void> {
  await session.waitInterruptibly(undefined)
}

async function sleep(session: Session, ms: string): Promise<void> {
  await session.waitInterruptibly(Number(ms) * 1000)
}

async function playFile(session: Session, source: string): Promise<void> {
  session.channel.variables.set('current_application_response', await playback(session, source))
}

/** A file that cannot be written is the log's affair. */
function recordSession(session: Session, path: string): void {
  startRecording(session, path)
}

async function say(session: Session): Promise<void> {
  await play(session, 'say')
}

function hangUp(session: Session, cause: string): void {
  session.hangup(causeNamed(cause), 'server')
}

/** `503 Busy here`: a SIP answer to a call that was not taken. */
function respond(session: Session, argument: string): void {
  if (session.channel.isAnswered) return
  session.hangup(refusalOf(Number.parseInt(argument, 10)).cause, 'server')
}

function setVariable(session: Session, argument: string): void {
  session.channel.variables.set(...parseAssignment(argument))
}

function setVariables(session: Session, argument: string): void {
  for (const assignment of parseAssignments(argument, ' ')) session.channel.variables.set(...assignment)
}

function unsetVariable(session: Session, name: string): void {
  session.channel.variables.unset(name)
}

function exportVariable(session: Session, argument: string): void {
  const { variables } = session.channel
  const [name, value] = parseAssignment(argument.replace(/^nolocal:/, ''))
  variables.set(name, value)
  variables.set('export_vars', [variables.get('export_vars') ?? [], name].flat().join(','))
}

/** `+60 ALLOTTED_TIMEOUT`, or the second of the epoch without `+` */
function scheduleHangup(session: Session, argument: string): void {
  const [time = '', cause = ''] = argument.split(' ')
  const { clock } = session
  const seconds = Number(time.replace('+', ''))
  const us = time.startsWith('+') ? scheduledTime(clock.now, seconds) : seconds * 1e6
  session.sw.scheduler.add(clock, us, session.uuid, () => {
    session.hangup(causeNamed(cause), 'switch')
  })
}

/** `destination [dialplan [context]]` */
function transfer(session: Session, argument: string): void {
  const [destination = '', , context = session.channel.profile.fields.context] = argument.split(' ')
  session.transfer({ destination, context }, 'bl_xfer')
}
