/** Where the value of a member stands: its first byte, and the one behind its last. */
export interface Place {
  readonly from: number
  readonly to: number
}

/**
 * Where the members of a JSON object stand that was written without blanks, as FreeSWITCH writes its events. One pass
 * finds them, nothing is taken apart: to ask for many of 250 members is then cheaper than a search for each, or than
 * JSON.parse.
 */
export class JsonMembers {
  /** As latin1, so that places in it are places in the bytes. */
  readonly #text: string
  /** Of each member: where its name ends, then where its value ends. Between two of them stands `,"`. */
  readonly #ends: number[] = []
  /** Whether all of the object was understood: of one that is written otherwise it is the members up to there. */
  readonly isWhole: boolean

  constructor(source: Buffer) {
    this.#text = source.toString('latin1')
    this.isWhole = this.#walk()
  }

  /**
   * The first member of this name.
   * @param name ASCII
   */
  find(name: string): Place | undefined {
    const ends = this.#ends
    let start = firstName
    for (let index = 0; index < ends.length; index += 2) {
      const nameEnd = ends[index] ?? 0
      const to = ends[index + 1] ?? 0
      if (nameEnd - start === name.length && this.#text.startsWith(name, start)) {
        return { from: nameEnd + betweenNameAndValue, to }
      }
      start = to + betweenMembers
    }
    return undefined
  }

  #walk(): boolean {
    const text = this.#text
    for (let start = firstName; ;) {
      if (text.charCodeAt(start - 1) !== quote) return false
      const nameEnd = stringEnd(text, start)
      if (nameEnd < 0 || text.charCodeAt(nameEnd + 1) !== colon) return false
      const to = valueEnd(text, nameEnd + betweenNameAndValue)
      if (to < 0) return false
      this.#ends.push(nameEnd, to)
      if (text.charCodeAt(to) !== comma) return text.charCodeAt(to) === closingBrace && to === text.length - 1
      start = to + betweenMembers
    }
  }
}

const quote = 0x22
const comma = 0x2c
const colon = 0x3a
const openBracket = 0x5b
const backslash = 0x5c
const closingBracket = 0x5d
const openBrace = 0x7b
const closingBrace = 0x7d
/** How many bytes stand before the first name, between a name and its value, between a value and the next name. */
const firstName = '{"'.length
const betweenNameAndValue = '":'.length
const betweenMembers = ',"'.length

/** @param start behind the opening quote; @returns where the closing one is, or less than 0 */
function stringEnd(text: string, start: number): number {
  let end = text.indexOf('"', start)
  while (end >= 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1)
  return end
}

function isEscaped(text: string, at: number): boolean {
  let first = at
  while (text.charCodeAt(first - 1) === backslash) first--
  return (at - first) % 2 === 1
}

/** @returns the place behind the value, or less than 0 */
function valueEnd(text: string, from: number): number {
  if (text.charCodeAt(from) === quote) {
    const end = stringEnd(text, from + 1)
    return end < 0 ? end : end + 1
  }
  let depth = 0
  for (let at = from; at < text.length; at++) {
    const character = text.charCodeAt(at)
    if (character === quote) {
      at = stringEnd(text, at + 1)
      if (at < 0) return at
    } else if (character === openBracket || character === openBrace) depth++
    else if (depth === 0 && (character === comma || character === closingBrace)) return at
    else if (character === closingBracket || character === closingBrace) depth--
  }
  return -1
}
