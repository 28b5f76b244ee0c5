import { UnsafeArgument } from '../esl/errors.js'

/** What may be played: checked once, here, so that no verb takes a plain string for a file name. */
export type Prompt = string & { readonly __brand: 'Prompt' }

export interface PromptOptions {
  /** Prefixed to files; without it FreeSWITCH's own `sound_prefix` applies. An absolute path. */
  readonly soundsDir?: string
  /** In which numbers are said, as FreeSWITCH names it (mod_say_en: `en`). Default `en`. */
  readonly language?: string
}

const soundFile = /^(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}$/
const toneStream = /^tone_stream:\/\/[A-Za-z0-9%(),;.=*+_-]{1,200}$/
const silenceStream = /^silence_stream:\/\/[0-9]{1,7}(?:,[0-9]{1,5})?$/
const saidDigits = /^say:([0-9]{1,40})$/
/** No longer than mod_say_en takes it. */
const saidNumber = /^say:number:([0-9]{1,9})$/
const folder = /^(?!.*\.\.)\/[A-Za-z0-9_./-]{0,200}$/
const languageName = /^[a-z]{2,3}$/

/**
 * - `ivr/welcome.wav`, a file below the sounds folder;
 * - `tone_stream://%(200,0,500)`, `silence_stream://500` (ms);
 * - `say:1234`, digit by digit: FreeSWITCH's own sounds have a file for each, in every language;
 * - `say:number:1234`, as a number in a language.
 *
 * FreeSWITCH knows more schemes (`shell_stream://`, `http://`, …): they run or fetch things, so that no other is let
 * through, and no path leaves the folder. Its own `say:` in a file's place is text-to-speech, which most have none of.
 * @throws UnsafeArgument
 */
export function prompt(text: string, { soundsDir, language = 'en' }: PromptOptions = {}): Prompt {
  if (soundsDir !== undefined && !folder.test(soundsDir))
    throw new UnsafeArgument(`no folder of sounds: ${JSON.stringify(soundsDir.slice(0, 80))}`)
  if (!languageName.test(language))
    throw new UnsafeArgument(`no language: ${JSON.stringify(language.slice(0, 80))}`)
  if (toneStream.test(text) || silenceStream.test(text)) return text as Prompt
  const [, digits] = saidDigits.exec(text) ?? []
  if (digits !== undefined) return fileString(digitFiles(digits, soundsDir)) as Prompt
  const [, number] = saidNumber.exec(text) ?? []
  if (number !== undefined) return `say:${language}:${number}:${soundsDir ?? ''}` as Prompt
  if (soundFile.test(text)) return inFolder(text, soundsDir) as Prompt
  throw new UnsafeArgument(
    `no prompt: ${JSON.stringify(text.slice(0, 80))}; a file below the sounds folder, tone_stream://, silence_stream://, say:DIGITS or say:number:DIGITS is`,
  )
}

/** A number that is to be said, which only the switch can take apart into files. */
export interface SaidNumber {
  readonly language: string
  readonly number: string
  readonly soundsDir: string | undefined
}

/** @returns undefined: the prompt is played as it is */
export function saidNumberIn(what: Prompt): SaidNumber | undefined {
  const [, language, number, soundsDir = ''] = /^say:([a-z]+):([0-9]+):(.*)$/.exec(what) ?? []
  if (language === undefined || number === undefined) return undefined
  return { language, number, soundsDir: soundsDir === '' ? undefined : soundsDir }
}

export function digitFiles(digits: string, soundsDir: string | undefined): string[] {
  return Array.from(digits, (digit) => inFolder(`digits/${digit}.wav`, soundsDir))
}

export function inFolder(file: string, soundsDir: string | undefined): string {
  return soundsDir === undefined ? file : `${soundsDir}/${file}`
}

const listScheme = 'file_string://'

/** Several sounds as one that FreeSWITCH plays without a gap, so that a digit cuts all of them short (mod_dptools). */
export function fileString(sounds: readonly string[]): string {
  const parts = sounds.flatMap((sound) =>
    sound.startsWith(listScheme) ? sound.slice(listScheme.length).split('!') : [sound],
  )
  const [first = ''] = parts
  if (parts.length > mostParts) throw new UnsafeArgument(`more than ${mostParts} sounds in one prompt`)
  return parts.length === 1 ? first : listScheme + parts.join('!')
}

/** FreeSWITCH takes no more; what is behind would be one file's name. */
const mostParts = 128
