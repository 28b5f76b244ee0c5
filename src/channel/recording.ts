import * as command from '../esl/command.js'
import { CommandRefused, UnsafeArgument } from '../esl/errors.js'
import type { Line } from './line.js'

/** A file to record to: checked once, here. */
export type RecordingPath = string & { readonly __brand: 'RecordingPath' }

export interface RecordOptions {
  /** The caller on one side, everybody else on the other. Default true. */
  readonly isStereo?: boolean
  /** Nothing is written while the caller is not bridged: neither ringing nor a queue's music. Default false. */
  readonly isTalkOnly?: boolean
}

const path = /^(?:\/[A-Za-z0-9_@+=-][A-Za-z0-9_.@+=-]*){1,16}\.[a-z0-9]{2,4}$/
const longestPath = 240

/**
 * An absolute path on the switch's machine, which makes the folders that are missing. Nothing in it expands, leaves a
 * folder or separates; the ending names the format (`.wav`): without one FreeSWITCH writes two raw files.
 * @throws UnsafeArgument
 */
export function recordingPath(text: string): RecordingPath {
  if (text.length > longestPath || !path.test(text))
    throw new UnsafeArgument(`no path of a recording: ${JSON.stringify(text.slice(0, 80))}`)
  return text as RecordingPath
}

/** FreeSWITCH runs all that begin with `execute_on_answer`: the dialplan may have one of its own. */
const onAnswer = 'execute_on_answer_linger_record'

/** See `Channel.record`. */
export async function record(
  line: Line,
  to: RecordingPath,
  { isStereo = true, isTalkOnly = false }: RecordOptions,
  isAnswered: boolean,
): Promise<boolean> {
  const how = [
    line.set('RECORD_STEREO', String(isStereo)),
    line.set('RECORD_BRIDGE_REQ', String(isTalkOnly)),
    // A dialplan may have set it: a file that cannot be written would then end the call.
    line.set('RECORD_HANGUP_ON_ERROR', 'false'),
  ]
  if (!isAnswered) {
    // Before the answer `record_session` would open the audio to the caller, whose own ringing tone then stops.
    await line.sendAll([...how, line.set(onAnswer, `record_session:${to}`)])
    return true
  }
  return accepted(line.sendAll([...how, command.api('uuid_record', [line.uuid, 'start', to])]))
}

/** See `Channel.stopRecording`. */
export function stopRecording(line: Line, to: RecordingPath): Promise<boolean> {
  return accepted(line.sendAll([line.set(onAnswer), command.api('uuid_record', [line.uuid, 'stop', to])]))
}

/** Whether it was done: a call goes on without its recording. */
async function accepted(replies: Promise<void>): Promise<boolean> {
  try {
    await replies
    return true
  } catch (error) {
    if (error instanceof CommandRefused) return false
    throw error
  }
}
