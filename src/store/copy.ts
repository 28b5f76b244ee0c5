import type { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'

import type pg from 'pg'

/** What node-postgres has for COPY and its types do not say. */
export interface CopyConnection {
  readonly stream: Duplex
  query(sql: string): void
  sendCopyFromChunk(chunk: Buffer): void
  endCopyFrom(): void
  sendCopyFail(reason: string): void
}

/** A copy of a million rows takes longer than other queries may; one that takes this long has died, in ms. */
const copyTimeoutMs = 600_000
const newline = 0x0a
const chunkSize = 65_536

/** Hands what the server says to node-postgres' client, in the form that its own queries have. */
export abstract class Copy {
  readonly #sql: string
  readonly query_timeout: number = copyTimeoutMs
  /** Wrapped by the client, which stops its clock there. */
  callback: (error?: Error | null) => void = () => undefined
  /** What went wrong on this side. */
  protected failure: Error | undefined

  constructor(sql: string) {
    this.#sql = sql
  }

  static run(client: pg.ClientBase, copy: Copy): Promise<void> {
    return new Promise((resolve, reject) => {
      copy.callback = (error) => {
        if (error) reject(error)
        else resolve()
      }
      client.query(copy as pg.Submittable)
    })
  }

  submit(connection: unknown): void {
    ;(connection as CopyConnection).query(this.#sql)
  }

  handleCommandComplete(): void {
    // Ready for the next query is what counts.
  }

  handleReadyForQuery(): void {
    this.callback(this.failure)
  }

  handleError(error: Error): void {
    // Of a copy that this side gave up the server says that it was given up; why is known here.
    this.callback(this.failure ?? error)
  }
}

class CopyOut extends Copy {
  readonly #onLine: (line: string) => void
  #rest: Buffer | undefined
  #isPaused = false

  constructor(sql: string, onLine: (line: string) => void) {
    super(sql)
    this.#onLine = onLine
  }

  /** Rows come one by one today; the protocol promises no such thing. */
  handleCopyData({ chunk }: { readonly chunk: Buffer }, connection: unknown): void {
    if (this.failure) return
    this.#pause(connection as CopyConnection)
    const data = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk
    try {
      let start = 0
      for (let end = data.indexOf(newline); end !== -1; end = data.indexOf(newline, start)) {
        this.#onLine(data.toString('utf8', start, end))
        start = end + 1
      }
      this.#rest = start < data.length ? data.subarray(start) : undefined
    } catch (error) {
      // Thrown into the client it would break the connection for everybody.
      this.failure = error instanceof Error ? error : new Error(String(error))
    }
  }

  /** A socket is read up to 32 times in a row while there is something: one portion a turn is enough. */
  #pause({ stream }: CopyConnection): void {
    if (this.#isPaused) return
    this.#isPaused = true
    stream.pause()
    setImmediate(() => {
      this.#isPaused = false
      stream.resume()
    })
  }
}

type Rows<Row> = Iterable<Row> | AsyncIterable<Row>

class CopyIn<Row> extends Copy {
  readonly #rows: Rows<Row>
  readonly #lineOf: (row: Row) => string
  #isOver = false

  constructor(sql: string, rows: Rows<Row>, lineOf: (row: Row) => string) {
    super(sql)
    this.#rows = rows
    this.#lineOf = lineOf
  }

  handleCopyInResponse(connection: unknown): void {
    void this.#send(connection as CopyConnection)
  }

  override handleError(error: Error): void {
    this.#isOver = true
    super.handleError(error)
  }

  async #send(connection: CopyConnection): Promise<void> {
    try {
      let chunk = ''
      const add = (row: Row) => (chunk += this.#lineOf(row) + '\n').length >= chunkSize
      const flush = async () => {
        const full = chunk
        chunk = ''
        await sendChunk(connection, full)
        return !this.#isOver
      }
      // Apart: what need not be waited for is twice as quick.
      if (Symbol.iterator in this.#rows) {
        for (const row of this.#rows) if (add(row) && !(await flush())) return
      } else {
        for await (const row of this.#rows) if (add(row) && !(await flush())) return
      }
      if (await flush()) connection.endCopyFrom()
    } catch (error) {
      this.failure = error instanceof Error ? error : new Error(String(error))
      if (!this.#isOver) connection.sendCopyFail('the rows could not be read')
    }
  }
}

async function sendChunk(connection: CopyConnection, chunk: string): Promise<void> {
  connection.sendCopyFromChunk(Buffer.from(chunk))
  // A server that keeps up would otherwise keep everything else from its turn.
  await nextTurn()
  const { stream } = connection
  if (!stream.writableNeedDrain || stream.destroyed) return
  await new Promise<void>((resolve) => {
    const goOn = () => {
      stream.off('drain', goOn).off('close', goOn)
      resolve()
    }
    stream.on('drain', goOn).on('close', goOn)
  })
}

/**
 * @param query a SELECT; its NULLs come as empty texts
 * @param onLine takes each row as it comes; rows come in portions, between which everything else has its turn
 */
export function copyOut(client: pg.ClientBase, query: string, onLine: (line: string) => void): Promise<void> {
  return Copy.run(client, new CopyOut(`COPY (${query}) TO STDOUT (NULL '')`, onLine))
}

/**
 * @param target a table with its columns, `rates (prefix, description)`
 * @param lineOf a row as `copyLine` writes it
 */
export function copyIn<Row>(
  client: pg.ClientBase,
  target: string,
  rows: Rows<Row>,
  lineOf: (row: Row) => string,
): Promise<void> {
  return Copy.run(client, new CopyIn(`COPY ${target} FROM STDIN`, rows, lineOf))
}

const escapes: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
}
const unescapes: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(escapes).map(([plain, escaped]) => [escaped, plain]),
)
const isSpecial = /[\\\b\f\n\r\t\v]/

export function copyLine(values: readonly (string | null)[]): string {
  let line = ''
  for (const value of values) {
    if (line !== '') line += '\t'
    if (value === null) line += '\\N'
    else if (isSpecial.test(value))
      line += value.replace(/[\\\b\f\n\r\t\v]/g, (special) => escapes[special] ?? special)
    else line += value
  }
  return line
}

/** The values of a row that `copyOut` brought. */
export function copiedValues(line: string): string[] {
  const values = line.split('\t')
  if (!line.includes('\\')) return values
  return values.map((value) => value.replace(/\\./gs, (escaped) => unescapes[escaped] ?? escaped))
}
