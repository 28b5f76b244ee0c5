import { UnsafeArgument } from '../esl/errors.js'

/** What may be played: checked once, here, so that no verb takes a plain string for a file name. */
export type Prompt = string & { readonly __brand: 'Prompt' }

const soundFile = /^(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}$/
const toneStream = /^tone_stream:\/\/[A-Za-z0-9%(),;.=*+_-]{1,200}$/
const silenceStream = /^silence_stream:\/\/[0-9]{1,7}(?:,[0-9]{1,5})?$/
const saidDigits = /^say:([0-9]{1,40})$/
/** No longer than mod_say_en takes it. */
const saidNumber = /^say:number:([0-9]{1,9})$/

/**
 * - `ivr/welcome.wav`, a file below the switch's own sounds folder (`sound_prefix`);
 * - `tone_stream://%(200,0,500)`, `silence_stream://500` (ms);
 * - `say:1234`, digit by digit: FreeSWITCH's own sounds have a file for each, in every language;
 * - `say:number:1234`, as a number, in English.
 *
 * FreeSWITCH knows more schemes (`shell_stream://`, `http://`, …): they run or fetch things, so that no other is let
 * through, and no path leaves the folder. Its own `say:` in a file's place is text-to-speech, which most have none of.
 * @throws UnsafeArgument
 */
export function prompt(text: string): Prompt {
  const [, digits] = saidDigits.exec(text) ?? []
  if (digits !== undefined) return fileString(digitFiles(digits)) as Prompt
  if ([toneStream, silenceStream, saidNumber, soundFile].some((kind) => kind.test(text)))
    return text as Prompt
  throw new UnsafeArgument(
    `no prompt: ${JSON.stringify(text.slice(0, 80))}; a file below the sounds folder, tone_stream://, silence_stream://, say:DIGITS or say:number:DIGITS is`,
  )
}

/** @returns a number that is to be said, which only the switch can take apart into files; undefined: it is none */
export function saidNumberIn(what: Prompt): string | undefined {
  return saidNumber.exec(what)?.[1]
}

export function digitFiles(digits: string): string[] {
  return Array.from(digits, (digit) => `digits/${digit}.wav`)
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
