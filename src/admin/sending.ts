import { Socket } from 'node:net'
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { fromStore } from './errors.js'

/** A client that takes nothing for so long is cut off, in ms. */
const idleMs = 60_000

export interface SentFile {
  /** `text/csv; charset=utf-8` */
  readonly type: string
  /** What a browser saves it as. */
  readonly name: string
}

/**
 * Sends what is made bit by bit, as fast as the client takes it: what it has not taken is not made yet. If something
 * fails after the first bit, the connection is cut, so that half a file is not taken for a whole one.
 *
 * @throws Problem when PostgreSQL is away at the beginning
 */
export async function sendFile(
  reply: FastifyReply,
  { type, name }: SentFile,
  chunks: AsyncGenerator<string, void>,
): Promise<FastifyReply> {
  const first = await fromStore(chunks.next())
  async function* all(): AsyncGenerator<string, void> {
    try {
      if (first.done !== true) yield first.value
      yield* chunks
    } finally {
      // Also when the client went before it took the first.
      await chunks.return()
    }
  }
  // A request that did not come over a network has none.
  if (reply.raw.socket instanceof Socket) reply.raw.setTimeout(idleMs)
  const body = Readable.from(all(), { objectMode: false })
  // A generator that never ran has no end of its own.
  body.once('close', () => void chunks.return().catch(() => undefined))
  return reply
    .type(type)
    .header('content-disposition', `attachment; filename="${name}"`)
    .header('cache-control', 'no-store')
    .send(body)
}
