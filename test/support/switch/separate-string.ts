const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', s: ' ' }

/**
 * switch_separate_string: splits at a character outside single quotes, and takes quotes, escapes and the blanks
 * around each part off. The last of `most` parts is all the rest. Text may name another character: `^^:a:b`.
 */
export function separateString(text: string, delimiter: string, most: number): string[] {
  return text.startsWith('^^') && text.length > 3
    ? split(text.slice(3), text.charAt(2), most)
    : split(text, delimiter, most)
}

function split(text: string, delimiter: string, most: number): string[] {
  const parts: string[] = []
  let start = 0
  let isQuoted = false
  for (let index = 0; index < text.length && parts.length < most - 1; index++) {
    const character = text.charAt(index)
    if (character === '\\') index++
    else if (isQuote(text, index, isQuoted)) isQuoted = !isQuoted
    else if (character === delimiter && !isQuoted) {
      parts.push(text.slice(start, index))
      start = index + 1
    }
  }
  if (start < text.length) parts.push(text.slice(start))
  return parts.map((part) => cleaned(part, delimiter))
}

function cleaned(part: string, delimiter: string): string {
  const text = part.replace(/^ +/, '')
  let result = ''
  /** Blanks after it are cut off. */
  let end = 0
  let isQuoted = false
  for (let index = 0; index < text.length; index++) {
    const character = text.charAt(index)
    const next = text.charAt(index + 1)
    const escaped = `'"\\${delimiter}`.includes(next) ? next : escapes[next]
    if (character === '\\' && next !== '' && escaped !== undefined) {
      result += escaped
      end = result.length
      index++
    } else if (isQuote(text, index, isQuoted)) {
      isQuoted = !isQuoted
      if (isQuoted) end = result.length
    } else {
      result += character
      if (character !== ' ' || isQuoted) end = result.length
    }
  }
  return result.slice(0, end)
}

/** A quote that nothing closes is a character as any other. */
function isQuote(text: string, index: number, isQuoted: boolean): boolean {
  return text[index] === "'" && (isQuoted || text.includes("'", index + 1))
}
