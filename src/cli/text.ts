/**
 * What a terminal would obey instead of showing it: the control characters of ASCII and of Latin-1, and those that turn
 * the direction of what stands around them. A caller chooses his own name.
 */
const unsafe = /[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g
/** Of JSON and CSV, whose lines end. */
const unsafeInLines = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

const longestCell = 60

/** `text` in one line of a terminal. */
export function oneLine(text: string): string {
  return text.replace(unsafe, escaped)
}

/** As `oneLine`, and no longer than a table's cell. */
export function cell(value: unknown): string {
  if (value === null || value === undefined) return ''
  const text = oneLine(typeof value === 'string' ? value : JSON.stringify(value))
  if (text.length <= longestCell) return text
  // Not between the halves of a character.
  return `${text.slice(0, longestCell - 1).replace(/[\ud800-\udbff]$/, '')}…`
}

/** Text of several lines for a terminal. In JSON, whose texts have no raw control characters, it changes no value. */
export function lines(text: string): string {
  return text.replace(unsafeInLines, escaped)
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
