import * as command from '../esl/command.js'
import { CommandRefused } from '../esl/errors.js'
import type { Line } from './line.js'
import { digitFiles, fileString, inFolder, saidNumberIn, type Prompt, type SaidNumber } from './prompt.js'

/** What FreeSWITCH's `playback` says of a file that it has played, to its end or to a digit. */
const played = 'FILE PLAYED'
const files =
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
 * The files of a number as the language's module puts them together: `say_string` of mod_commands, which mod_say_en and
 * some others know. One that FreeSWITCH cannot say in that language is said digit by digit.
 */
async function numberFiles(line: Line, { language, number, soundsDir }: SaidNumber): Promise<string> {
  const words = [`${language}.wav`, language, 'number', 'pronounced', number]
  let output = ''
  try {
    output = await line.send(command.api('say_string', words))
  } catch (error) {
    if (!(error instanceof CommandRefused)) throw error
  }
  const [, list] = files.exec(output) ?? []
  if (list === undefined) return fileString(digitFiles(number, soundsDir))
  return fileString(list.split('!').map((file) => inFolder(file, soundsDir)))
}
