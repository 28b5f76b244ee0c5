/**
 * FreeSWITCH's percent-encoding of header values and its XML escapes. Decoding never throws: what a
 * caller's phone put into a SIP header reaches us through here.
 */

/** What `switch_url_encode` escapes beside control characters and everything outside of ASCII (seen in the recordings). */
const unsafe = /[^!$'()*,\-./0-9A-Z_a-z~]+/g

export function encodePercent(text: string): string {
  return text.replace(unsafe, (characters) => Array.from(Buffer.from(characters), percent).join(''))
}

function percent(byte: number): string {
  return '%' + byte.toString(16).toUpperCase().padStart(2, '0')
}

/** Broken escapes stay as they are, invalid UTF-8 becomes U+FFFD. */
export function decodePercent(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return decodeBytes(text)
  }
}

function decodeBytes(text: string): string {
  const bytes = Buffer.from(text)
  let length = 0
  for (let index = 0; index < bytes.length; index++) {
    const escape = bytes[index] === 0x25 ? bytes.toString('latin1', index + 1, index + 3) : ''
    if (/^[0-9A-Fa-f]{2}$/.test(escape)) {
      bytes[length++] = Number.parseInt(escape, 16)
      index += 2
    } else {
      bytes[length++] = bytes[index] ?? 0
    }
  }
  return bytes.toString('utf8', 0, length)
}

const xmlEscapes = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
])
const xmlCharacters = new Map(
  [...xmlEscapes, ["'", '&apos;']].map(([character = '', escape]) => [escape, character]),
)

export function escapeXml(text: string): string {
  return text.replaceAll(/[&<>"]/g, (character) => xmlEscapes.get(character) ?? character)
}

export function unescapeXml(text: string): string {
  return text.replaceAll(/&(?:amp|lt|gt|quot|apos);|&#(?:x[0-9A-Fa-f]{1,6}|[0-9]{1,7});/g, (escape) => {
    const named = xmlCharacters.get(escape)
    if (named !== undefined) return named
    const hex = escape.startsWith('&#x')
    const code = Number.parseInt(escape.slice(hex ? 3 : 2, -1), hex ? 16 : 10)
    return code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd'
  })
}
