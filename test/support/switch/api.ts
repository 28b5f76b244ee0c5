import { randomUUID } from 'node:crypto'
import { CalledLeg } from './called-leg.js'
import { causeNamed } from './causes.js'
import { showChannels } from './channel-list.js'
import type { CallClock } from './clock.js'
import { parseDialString } from './dial-string.js'
import { finishRecording, startRecording } from './media.js'
import type { Leg } from './legs.js'
import { sayString } from './say.js'
import { scheduledTime } from './scheduler.js'
import type { SimulatedSwitch } from './switch.js'
import { templates } from './templates.js'

export interface ApiContext {
  readonly sw: SimulatedSwitch
  /** Of the call whose socket asks; of one that is no call's, the switch's own. */
  readonly clock: CallClock
}

type ApiCommand = (
  context: ApiContext,
  words: readonly string[],
  argument: string,
) => string | Promise<string>
type LegCommand = (leg: Leg, words: readonly string[], context: ApiContext) => string

const commands: ReadonlyMap<string, ApiCommand> = new Map<string, ApiCommand>([
  ['status', () => templates().status],
  [
    'msleep',
    ({ clock }, [ms = '0']) =>
      new Promise((resolve) => {
        clock.after(Number(ms), 'script', () => {
          resolve('+OK')
        })
      }),
  ],
  ['sched_api', scheduleApi],
  ['sched_del', ({ sw }, [name = '']) => `+OK Deleted: ${sw.scheduler.remove(name)}\n`],
  ['sched_hangup', scheduleHangup],
  ['originate', originate],
  ['say_string', sayString],
  ['show', show],
  ['uuid_exists', ({ sw }, [uuid = '']) => String(sw.legs.has(uuid))],
  [
    'uuid_break',
    ofLeg((leg) => {
      leg.session?.signal('break')
      return '+OK\n'
    }),
  ],
  ['uuid_broadcast', ofLeg(broadcast)],
  ['uuid_dump', ofLeg(dump)],
  [
    'uuid_flush_dtmf',
    ofLeg(({ session }) => {
      if (session !== undefined) session.pendingDigits = ''
      return '+OK\n'
    }, 'no such session'),
  ],
  ['uuid_getvar', ofLeg((leg, [name = '']) => leg.variable(name) ?? '_undef_')],
  [
    'uuid_kill',
    ofLeg((leg, [cause]) => {
      leg.kill(causeNamed(cause))
      return '+OK\n'
    }),
  ],
  ['uuid_record', ofLeg(record, 'Cannot locate session!')],
  ['uuid_recv_dtmf', ofLeg(receiveDigits)],
  ['uuid_send_dtmf', ofLeg(sendDigits)],
  ['uuid_setvar', ofLeg(setVariable)],
  ['uuid_transfer', ofLeg(transfer)],
])

/** Runs an API command as FreeSWITCH answers it; a promise when it takes its time. */
export function runApi(sw: SimulatedSwitch, clock: CallClock, text: string): string | Promise<string> {
  const [name = '', ...words] = text.split(' ')
  const command = commands.get(name)
  if (command === undefined) return `-ERR ${name} Command not found!\n`
  return command({ sw, clock }, words, words.join(' '))
}

/** The legs whose uuids are among the words of a command. */
export function legsNamed(sw: SimulatedSwitch, words: readonly string[]): Leg[] {
  return words.flatMap((word) => sw.legs.get(word) ?? [])
}

/** @param noLeg how mod_commands says that there is none, or that it is hung up */
function ofLeg(command: LegCommand, noLeg = 'No such channel!'): ApiCommand {
  return (context, [uuid = '', ...words]) => {
    const leg = context.sw.legs.get(uuid)
    return leg === undefined ? `-ERR ${noLeg}\n` : command(leg, words, context)
  }
}

/** `+SECONDS GROUP COMMAND …` or `EPOCH GROUP COMMAND …`, by the clock of the call that the command names. */
function scheduleApi(context: ApiContext, [time = '', group = '', ...command]: readonly string[]): string {
  const { sw } = context
  const clock = legsNamed(sw, command)[0]?.clock ?? context.clock
  const seconds = Number(time.replace(/[+@]/g, ''))
  const us = time.startsWith('+') ? scheduledTime(clock.now, seconds) : seconds * 1e6
  const id = sw.scheduler.add(clock, us, group, () => void runApi(sw, clock, command.join(' ')))
  return `+OK Added: ${id}\n`
}

function scheduleHangup({ sw }: ApiContext, [time = '', uuid = '', cause]: readonly string[]): string {
  const leg = sw.legs.get(uuid)
  if (leg === undefined) return '-ERR No such channel!\n'
  sw.scheduleHangup(leg.clock, leg, time, cause ?? '')
  return '+OK\n'
}

/** Played into the call without ending what runs: nested into it, as an application of its own. */
function broadcast(leg: Leg, [path = '', side = 'aleg']: readonly string[], { sw }: ApiContext): string {
  if (side !== 'bleg') leg.session?.queue({ kind: 'execute', ...applicationOf(path) })
  const partner = leg.session?.bridgedLeg
  if (side !== 'aleg' && partner !== undefined) sw.noteHeard(partner.uuid, path)
  return '+OK Message sent\n'
}

function sendDigits(leg: Leg, [digits = '']: readonly string[], { sw }: ApiContext): string {
  sw.noteHeard(leg.uuid, digits)
  return `+OK ${leg.uuid} sent DTMF ${digits}.\n`
}

/** `app::argument`, or something to play. */
function applicationOf(path: string): { application: string; argument: string } {
  const [, application, argument] = /^(\w+)::(.*)$/s.exec(path) ?? []
  return application === undefined
    ? { application: 'playback', argument: path }
    : { application, argument: argument ?? '' }
}

/** `UUID [plain|json]` */
function dump({ channel, clock }: Leg, [format]: readonly string[], { sw }: ApiContext): string {
  const data = sw.events.channelData(channel, clock.now, [])
  return format === 'json' ? data.json() : `${data.plainHeaders()}\n`
}

/** For longer than anybody lets a phone ring. */
const ringing = { application: 'sleep', argument: '600000' }

/**
 * Only phones that are registered answer, and only what listens in is run for nobody's call: `{…}user/1001@domain
 * &eavesdrop(UUID)`. No recording shows that; it follows mod_commands' originate_function and mod_dptools.
 */
function originate({ sw }: ApiContext, [target = '', run = '']: readonly string[]): string {
  const { groups } = parseDialString(target)
  const leg = groups[0]?.[0]
  if (leg === undefined) return '-ERR DESTINATION_OUT_OF_ORDER\n'
  if (!leg.dialString.startsWith('user/')) return '-ERR DESTINATION_OUT_OF_ORDER\n'
  const [, application, argument] = /^&(\w+)\((.*)\)$/.exec(run) ?? []
  const isRinging = sw.ringing.has(leg.number)
  if ((!isRinging && !sw.registered.has(leg.number)) || application === undefined)
    return '-ERR SUBSCRIBER_ABSENT\n'
  const uuid = leg.variables.get('origination_uuid') ?? randomUUID()
  const call = sw.call({
    dialplan: [isRinging ? ringing : { application, argument: argument ?? '' }],
    uuid,
    direction: 'outbound',
    caller: leg.variables.get('origination_caller_id_number') ?? '0000000000',
    called: leg.number,
    variables: { ...Object.fromEntries(leg.variables), direction: 'outbound' },
    speed: 1,
  })
  sw.originated.push(call)
  return `+OK ${uuid}\n`
}

function show({ sw }: ApiContext, [what, ...format]: readonly string[]): string {
  if (what !== 'channels') return `-USAGE: channels [count|as json]\n`
  return showChannels(sw.listed, format.join(' '))
}

/** A recording of a relative path is not found again when it is to be stopped (recording `while-bridged`). */
function record({ session }: Leg, [action = '', path = '']: readonly string[]): string {
  if (session === undefined) return '-ERR Cannot record session!\n'
  if (action === 'start')
    return startRecording(session, path) ? '+OK Success\n' : '-ERR Cannot record session!\n'
  const isRunning =
    session.recording?.path === path &&
    path.startsWith('/') &&
    session.call.options.cannotStopRecording !== true
  if (action !== 'stop' || !isRunning) return '-ERR Cannot stop record session!\n'
  finishRecording(session)
  return '+OK Success\n'
}

function receiveDigits(leg: Leg, [digits = '']: readonly string[]): string {
  leg.receiveDigits(digits)
  return `+OK ${leg.uuid} received DTMF ${digits}.\n`
}

function setVariable(leg: Leg, [name = '', ...value]: readonly string[]): string {
  if (name === '') return '-USAGE: <uuid> <var> [value]\n'
  leg.setVariable(name, value.join(' '))
  return '+OK\n'
}

/** `UUID DESTINATION [DIALPLAN [CONTEXT]]`; of a called leg as switch_ivr_session_transfer does it, of which no recording is */
function transfer(leg: Leg, [destination = '', , context]: readonly string[]): string {
  const { session, channel } = leg
  if (destination === '') return '-ERR No such channel!\n'
  if (session?.call.options.cannotTransfer === true) return '-ERR Operation failed!\n'
  const target = { destination, context: context ?? channel.profile.fields.context }
  if (session !== undefined) session.transfer(target, 'bl_xfer')
  else if (leg instanceof CalledLeg) leg.transfer(target)
  return '+OK\n'
}
