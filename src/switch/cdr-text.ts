import { fromJsonCdr } from '../call/watch/json-cdr-document.js'
import { DocumentError, type LegDocument } from '../call/legs/leg-document.js'

/**
 * Reads a document as mod_json_cdr posts or saves it: JSON as it is; with its parameter `encode`, percent-encoded or
 * in base64, after `cdr=` in a post and bare in a file. What it calls that in a header is not to be relied on: with
 * `disable-100-continue` its plain JSON says that it is a form.
 *
 * @throws DocumentError when it is none, in one line
 */
export function documentIn(text: string): LegDocument {
  return fromJsonCdr(parse(plain(text.replace(/^cdr=/, '').trim())))
}

function plain(text: string): string {
  if (text.startsWith('{')) return text
  if (text.startsWith('%7B') || text.startsWith('%7b')) {
    try {
      return decodeURIComponent(text)
    } catch (error) {
      throw new DocumentError('neither JSON nor JSON that is percent-encoded', { cause: error })
    }
  }
  // A brace and a quotation mark.
  return text.startsWith('eyJ') ? Buffer.from(text, 'base64').toString() : text
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new DocumentError('no JSON', { cause: error })
  }
}
