import { Header } from './headers.js'
import type { Session } from './session.js'
import type { Wake } from './thread.js'

/** A recording that runs on a channel. */
export interface Recording {
  readonly path: string
  /** µs */
  readonly startedAt: number
  readonly isStereo: boolean
}

const samplesPerMs = 8
const wavHeaderBytes = 44

/** What mod_dptools plays one after the other. */
const fileString = 'file_string://'

/**
 * How long a file or stream plays, ms; undefined for ever.
 *
 * @param promptMs what any file and phrase take
 */
export function playedMs(source: string, promptMs: number): number | undefined {
  const tone = /^tone_stream:\/\/(.*)$/.exec(source)
  if (tone !== null) {
    const [tones = '', ...settings] = (tone[1] ?? '').split(';')
    const loops = settings.map((setting) => /^loops=(-?\d+)$/.exec(setting)?.[1]).find((n) => n !== undefined)
    if (loops === '-1') return undefined
    const [once = 0] = [...tones.matchAll(/%\((\d+),/g)].map((match) => Number(match[1]))
    return once * Number(loops ?? 1)
  }
  const silence = /^silence_stream:\/\/(-?\d+)/.exec(source)
  if (silence !== null) return Number(silence[1]) < 0 ? undefined : Number(silence[1])
  return promptMs
}

/** What playing leaves on the channel. */
export function setPlayed(session: Session, ms: number): void {
  const samples = (ms * samplesPerMs).toString()
  session.channel.variables.setAll({
    playback_last_offset_pos: samples,
    playback_seconds: Math.floor(ms / 1000).toString(),
    playback_ms: ms.toString(),
    playback_samples: samples,
  })
}

/**
 * Plays for its time, unless interrupted or ended by one of `wakes`.
 * @returns false when it is not there; of several in a `file_string://` those that are not there are passed over
 */
export async function play(session: Session, source: string, wakes: readonly Wake[] = []): Promise<boolean> {
  // Text-to-speech, of which this switch has none, and says so in its log alone.
  if (source.startsWith('say:')) return true
  const { clock, call } = session
  const isList = source.startsWith(fileString)
  const sounds = (isList ? source.slice(fileString.length).split('!') : [source]).filter(
    (sound) => !call.isMissing(sound),
  )
  if (sounds.length === 0) return false
  const startedAt = clock.now
  for (const sound of sounds) {
    const ms = playedMs(sound, call.promptMs)
    call.heard.push(sound)
    const wake = await session.waitInterruptibly(ms === undefined ? undefined : ms * 1000, wakes)
    if (wake !== 'time') break
  }
  setPlayed(session, Math.round((clock.now - startedAt) / 1000))
  return true
}

/** A digit that ends a playback, unless `playback_terminators` names others, or `none`. */
const playbackTerminator = '*'

/** The application `playback`: it takes the digits that come meanwhile, those that wait first. @returns its response */
export async function playback(session: Session, source: string): Promise<string> {
  const { variables } = session.channel
  const named = variables.get('playback_terminators') ?? playbackTerminator
  const terminators = named === 'none' ? '' : named === 'any' ? '1234567890*#' : named
  const waiting = session.pendingDigits
  session.pendingDigits = ''
  const { onDigit: outer } = session
  session.onDigit = (digit) => {
    if (!terminators.includes(digit)) return
    variables.set('playback_terminator_used', digit)
    session.signal('break')
  }
  const cutBy = Array.from(waiting).find((digit) => terminators.includes(digit))
  variables.set('playback_terminator_used', cutBy)
  const isThere = cutBy !== undefined || (await play(session, source))
  session.onDigit = outer
  return isThere ? 'FILE PLAYED' : 'FILE NOT FOUND'
}

/** @returns false: the file cannot be written */
export function startRecording(session: Session, path: string): boolean {
  if (session.call.options.cannotRecord === true) return false
  const isStereo = session.channel.variables.isTrue('RECORD_STEREO')
  session.recording = { path, startedAt: session.clock.now, isStereo }
  session.fire('RECORD_START', { before: [new Header('Record-File-Path', path)] })
  return true
}

/** At the latest when the call ends. Does nothing if none runs. */
export function finishRecording(session: Session): void {
  const { recording } = session
  if (recording === undefined) return
  session.recording = undefined
  const ms = Math.round((session.clock.now - recording.startedAt) / 1000)
  session.channel.variables.setAll({
    record_file_size: (ms * samplesPerMs * (recording.isStereo ? 4 : 2) + wavHeaderBytes).toString(),
    record_samples: (ms * samplesPerMs).toString(),
    record_seconds: Math.floor(ms / 1000).toString(),
    record_ms: ms.toString(),
    record_completion_cause: 'success-silence',
  })
  session.fire('RECORD_STOP', { before: [new Header('Record-File-Path', recording.path)] })
}

/** From a call's answer until the caller's phone has acknowledged it, ms. */
const acknowledgeMs = 30

/** @param isBridged the far end has answered, and it is passed on */
export function answerChannel(session: Session, isBridged: boolean): void {
  const { channel, clock } = session
  channel.answer(clock.now)
  channel.addAnswerVariables(isBridged)
  session.fire('CHANNEL_ANSWER')
  executeOnAnswer(session)
  clock.after(acknowledgeMs, 'follow', () => {
    channel.acknowledge()
  })
}

/** All variables that begin so, each an application and its argument behind the first blank or colon: recordings alone. */
function executeOnAnswer(session: Session): void {
  for (const { name, first = '' } of session.channel.variables) {
    if (!name.startsWith('variable_execute_on_answer')) continue
    const [, application, argument = ''] = /^([a-z_]+)[ :](.*)$/.exec(first) ?? []
    if (application === 'record_session') startRecording(session, argument)
  }
}
