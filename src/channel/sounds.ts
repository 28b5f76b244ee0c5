import * as command from '../esl/command.js'
import { CommandRefused } from '../esl/errors.js'
import type { Line } from './line.js'
import { digitFiles, fileString, saidNumberIn, type Prompt } from './prompt.js'

/** What FreeSWITCH's `playback` says of a file that it has played, to its end or to a digit. */
const played = 'FILE PLAYED'
const fileList =
  /^file_string:\/\/((?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.-]*(?:[/!][A-Za-z0-9_][A-Za-z0-9_.-]*)*)\s*$/

/** See `Channel.play`. */
export async function play(line: Line, prompts: readonly Prompt[]): Promise<Prompt[]> {
  const missing: Prompt[] = []
  for (const prompt of prompts) {
    const complete = await line.execute('playback', await soundOf(line, [prompt]))
    // `FILE NOT FOUND`, `PLAYBACK ERROR`
    if (complete.peek('Application-Response') !== played) missing.push(prompt)
  }
  return missing
}

/**
 * Prompts as one file name for FreeSWITCH. Of several it passes over those that are not there, and tells nobody but
 * its own log.
 */
export async function soundOf(line: Line, prompts: readonly Prompt[]): Promise<string> {
  const sounds: string[] = []
  for (const prompt of prompts) {
    const said = saidNumberIn(prompt)
    sounds.push(said === undefined ? prompt : await numberFiles(line, said))
  }
  return fileString(sounds)
}

/**
 * The files of a number as mod_say_en puts them together: `say_string` of mod_commands. A FreeSWITCH that cannot say it
 * says it digit by digit.
 */
async function numberFiles(line: Line, number: string): Promise<string> {
  const words = ['en.wav', 'en', 'number', 'pronounced', number]
  let output = ''
  try {
    output = await line.send(command.api('say_string', words))
  } catch (error) {
    if (!(error instanceof CommandRefused)) throw error
  }
  const [, list] = fileList.exec(output) ?? []
  return fileString(list === undefined ? digitFiles(number) : list.split('!'))
}
