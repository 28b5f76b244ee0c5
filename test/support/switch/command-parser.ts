/** One command that a server wrote. */
export interface ServerCommand {
  /** The first line, as it came. */
  readonly line: string
  /** The lines below, names in lower case; of one that is repeated the first. */
  readonly headers: ReadonlyMap<string, string>
  /** The same as they were written, repetitions too. */
  readonly written: readonly (readonly [name: string, value: string])[]
  readonly body: string | undefined
}

/**
 * Cuts what a server writes into commands, as mod_event_socket reads it: newlines before a command are
 * passed over, it ends at a blank line, and a Content-Length makes the bytes behind it its body.
 */
export class CommandParser {
  /** Bytes as latin1, so that lengths are bytes. */
  #rest = ''

  push(chunk: Buffer): ServerCommand[] {
    this.#rest += chunk.toString('latin1')
    const commands: ServerCommand[] = []
    for (;;) {
      const begin = this.#rest.search(/[^\r\n]/)
      const blank = begin < 0 ? null : /\n\r*\n/g
      if (blank === null) {
        this.#rest = ''
        return commands
      }
      blank.lastIndex = begin
      const end = blank.exec(this.#rest)
      if (end === null) return commands
      const [line = '', ...lines] = utf8(this.#rest.slice(begin, end.index)).split(/[\r\n]+/)
      const headers = new Map<string, string>()
      const written = lines
        .filter((header) => header.indexOf(':') > 0)
        .map((header): [string, string] => {
          const colon = header.indexOf(':')
          return [header.slice(0, colon), header.slice(colon + 1).replace(/^ +/, '')]
        })
      for (const [name, value] of written)
        if (!headers.has(name.toLowerCase())) headers.set(name.toLowerCase(), value)
      const bodyStart = end.index + end[0].length
      const length = Math.max(0, Number.parseInt(headers.get('content-length') ?? '0', 10) || 0)
      if (this.#rest.length < bodyStart + length) return commands
      const body = length > 0 ? utf8(this.#rest.slice(bodyStart, bodyStart + length)) : undefined
      this.#rest = this.#rest.slice(bodyStart + length)
      commands.push({ line, headers, written, body })
    }
  }
}

function utf8(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString()
}
