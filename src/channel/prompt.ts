import { UnsafeArgument } from '../esl/errors.js'

/** What may be played: checked once, here, so that no verb takes a plain string for a file name. */
export type Prompt = string & { readonly __brand: 'Prompt' }

const soundFile = /^(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}$/
const toneStream = /^tone_stream:\/\/[A-Za-z0-9%(),;.=*+_-]{1,200}$/
const silenceStream = /^silence_stream:\/\/[0-9]{1,7}(?:,[0-9]{1,5})?$/
const spoken = /^say:[0-9A-Za-z#*+., -]{1,100}$/

/**
 * `ivr/welcome.wav` (a file below the sounds folder), `tone_stream://%(200,0,500)`,
 * `silence_stream://500` or `say:1234`. FreeSWITCH knows more schemes (`shell_stream://`, `http://`, …):
 * they run or fetch things, so that no other is let through, and no path leaves the folder.
 * @param soundsDir prefixed to files; without it FreeSWITCH's own `sound_prefix` applies
 * @throws UnsafeArgument
 */
export function prompt(text: string, soundsDir?: string): Prompt {
  if (toneStream.test(text) || silenceStream.test(text) || spoken.test(text)) return text as Prompt
  if (soundFile.test(text)) return (soundsDir === undefined ? text : `${soundsDir}/${text}`) as Prompt
  throw new UnsafeArgument(
    `no prompt: ${JSON.stringify(text.slice(0, 80))}; a file below the sounds folder, tone_stream://, silence_stream:// or say: is`,
  )
}
