import type { ApiContext } from './api.js'

const usage = '<module_name>[.<ext>] <lang>[.<ext>] <say_type> <say_method> [<say_gender>] <text>'
const groups = [
  [1_000_000, 'million'],
  [1_000, 'thousand'],
] as const

/**
 * The API command `say_string`, of mod_commands and mod_say_en: `en.wav en number pronounced 1234`. No recording has it:
 * it is held to their source.
 */
export function sayString(
  { sw }: ApiContext,
  [module = '', , type, method, text = '']: readonly string[],
): string {
  const [name = '', ending = 'wav'] = module.split('.')
  const isSaid = type === 'number' && method === 'pronounced' && /^\d{1,9}$/.test(text)
  if (!sw.languages.has(name) || !isSaid) return `-ERR Usage: ${usage}\n`
  const files = wordsOf(Number(text)).map((word) => `digits/${word}.${ending}`)
  return `file_string://${files.join('!')}`
}

/** In files of its own: 1234 is 1, thousand, 2, hundred, 30, 4. */
function wordsOf(number: number): string[] {
  if (number === 0) return ['0']
  const words: string[] = []
  let rest = number
  for (const [size, name] of groups) {
    const count = Math.floor(rest / size)
    if (count > 0) words.push(...hundreds(count), name)
    rest %= size
  }
  return [...words, ...hundreds(rest)]
}

function hundreds(number: number): string[] {
  const words: string[] = []
  if (number >= 100) words.push(String(Math.floor(number / 100)), 'hundred')
  const rest = number % 100
  if (rest > 19) {
    words.push(String(rest - (rest % 10)))
    if (rest % 10 > 0) words.push(String(rest % 10))
  } else if (rest > 0) words.push(String(rest))
  return words
}
