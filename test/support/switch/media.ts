import { Header } from './headers.js'
import type { Session } from './session.js'
import type { Wake } from './thread.js'

/** A recording that runs on a channel. */
export interface Recording {
  readonly path: string
  /** µs */
  readonly startedAt: number
}

const samplesPerMs = 8
const wavHeaderBytes = 44

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

/** Plays for its time, unless interrupted or ended by one of `wakes`. */
export async function play(session: Session, source: string, wakes: readonly Wake[] = []): Promise<void> {
  const { clock } = session
  const ms = playedMs(source, session.call.promptMs)
  const startedAt = clock.now
  await session.waitInterruptibly(ms === undefined ? undefined : ms * 1000, wakes)
  setPlayed(session, Math.round((clock.now - startedAt) / 1000))
}

export function startRecording(session: Session, path: string): void {
  session.recording = { path, startedAt: session.clock.now }
  session.fire('RECORD_START', { before: [new Header('Record-File-Path', path)] })
}

/** At the latest when the call ends. Does nothing if none runs. */
export function finishRecording(session: Session): void {
  const { recording } = session
  if (recording === undefined) return
  session.recording = undefined
  const ms = Math.round((session.clock.now - recording.startedAt) / 1000)
  session.channel.variables.setAll({
    record_file_size: (ms * samplesPerMs * 2 + wavHeaderBytes).toString(),
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
  clock.after(acknowledgeMs, 'follow', () => {
    channel.acknowledge()
  })
}
