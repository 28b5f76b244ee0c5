import type pg from 'pg'

import { Copy, copiedValues, type CopyConnection } from './copy.js'

const newline = 0x0a
/** As long as whoever reads takes: who stops reading must be noticed by who serves him. */
const noTimeoutMs = 2 ** 31 - 1

/** Why a connection is broken: who read over it did not read to the end. */
export class CopyAbandoned extends Error {
  override readonly name = 'CopyAbandoned'

  constructor() {
    super('the rows were not read to their end')
  }
}

/** Gathers rows while nobody takes them, a portion at most: the connection is read when they were taken. */
class CopyPortions extends Copy {
  override readonly query_timeout = noTimeoutMs
  #rows: string[][] = []
  #rest: Buffer | undefined
  #connection: CopyConnection | undefined
  #isOver = false
  #error: Error | undefined
  #wake: () => void = () => undefined

  handleCopyData({ chunk }: { readonly chunk: Buffer }, connection: unknown): void {
    this.#connection = connection as CopyConnection
    // A portion is what one reading of the socket brought.
    this.#connection.stream.pause()
    const data = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk
    let start = 0
    for (let end = data.indexOf(newline); end !== -1; end = data.indexOf(newline, start)) {
      this.#rows.push(copiedValues(data.toString('utf8', start, end)))
      start = end + 1
    }
    this.#rest = start < data.length ? data.subarray(start) : undefined
    this.#wake()
  }

  over(error?: Error): void {
    this.#isOver = true
    this.#error = error
    // Whoever has the connection next finds it as it was.
    this.#connection?.stream.resume()
    this.#wake()
  }

  /** @returns undefined: that were all */
  async next(): Promise<string[][] | undefined> {
    while (this.#rows.length === 0) {
      if (this.#error) throw this.#error
      if (this.#isOver) return undefined
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#connection?.stream.resume()
      await woken
    }
    const rows = this.#rows
    this.#rows = []
    return rows
  }

  abandon(): void {
    if (this.#isOver) return
    // The server would send all the rest before it hears of anything else.
    this.#connection?.stream.resume()
    this.#connection?.stream.destroy(new CopyAbandoned())
  }
}

/**
 * The rows of a query as they are read, in portions of some hundred: no more than one portion is held in memory, and
 * PostgreSQL waits while nobody asks for the next one. A reader that leaves before the end breaks `client`'s
 * connection, which must not go back to its pool then: what is asked of it afterwards is rejected.
 *
 * @param query a SELECT; its NULLs come as empty texts
 */
export async function* copyRows(client: pg.ClientBase, query: string): AsyncGenerator<string[][], void> {
  const copy = new CopyPortions(`COPY (${query}) TO STDOUT (NULL '')`)
  const ended = Copy.run(client, copy).then(
    () => {
      copy.over()
    },
    (error: unknown) => {
      copy.over(error instanceof Error ? error : new Error(String(error)))
    },
  )
  try {
    for (let rows = await copy.next(); rows !== undefined; rows = await copy.next()) yield rows
  } finally {
    copy.abandon()
    await ended
  }
}

/** The same over a connection of its own, which is free again when the last row was taken, or nobody wants more. */
export async function* streamRows(pool: pg.Pool, query: string): AsyncGenerator<string[][], void> {
  const client = await pool.connect()
  let isBroken = true
  try {
    yield* copyRows(client, query)
    isBroken = false
  } finally {
    client.release(isBroken)
  }
}
