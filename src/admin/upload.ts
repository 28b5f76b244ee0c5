import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Problem, refuseInvalid } from './errors.js'
import { beginUpload, endUpload } from './uploading.js'
import { compileValidator } from './validator.js'

export interface UploadLimits {
  /** For the whole of it. Default 512 MiB. */
  readonly mostBytes?: number
  /** How long nothing may come while something is waited for, in ms. Default 30,000. */
  readonly idleMs?: number
}

/** Of a file that is refused here because of its bytes: at what line. */
export class NotUtf8 extends Error {
  override readonly name = 'NotUtf8'
  readonly line: number

  constructor(line: number) {
    super(`line ${line} is not UTF-8`)
    this.line = line
  }
}

/** Lets the routes of `app` take a body of this type as it comes, and no other. */
export function takeUploads(app: FastifyInstance, contentType: string): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(contentType, (_request, payload, done) => {
    done(null, payload)
  })
}

/** A body's schema is for openapi.json; what comes bit by bit is checked by who reads it. */
export const uploadValidator: typeof compileValidator = (part) =>
  part.httpPart === 'body' ? (value: unknown) => ({ value }) : compileValidator(part)

/**
 * The bytes of a request's body as they come; the client waits while nobody reads on. It may take its time, as long as
 * something comes.
 *
 * @throws Problem `invalid` when there is none, or its client goes; `too_large`; `timeout` when nothing comes any more
 * @throws NotUtf8
 */
export async function* uploaded(
  request: FastifyRequest,
  reply: FastifyReply,
  { mostBytes = 512 * 2 ** 20, idleMs = 30_000 }: UploadLimits = {},
): AsyncGenerator<Buffer, void> {
  const body = request.body
  if (!(body instanceof Readable)) return refuseInvalid([{ field: 'body', detail: 'is missing' }])
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const { socket } = request.raw
  beginUpload(socket)
  let [bytes, lines, isWhole] = [0, 1, false]
  const chunks = body.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>
  try {
    if (Number(request.headers['content-length'] ?? 0) > mostBytes) throw tooLarge(mostBytes)
    for (;;) {
      const { value: chunk, done } = await nextInTime(chunks, idleMs)
      if (done === true) break
      bytes += chunk.length
      if (bytes > mostBytes) throw tooLarge(mostBytes)
      try {
        decoder.decode(chunk, { stream: true })
      } catch {
        throw new NotUtf8(lines + linesBeforeFault(chunk))
      }
      lines += countLines(chunk)
      yield chunk
    }
    isWhole = true
    try {
      decoder.decode()
    } catch {
      throw new NotUtf8(lines)
    }
  } finally {
    endUpload(socket)
    // What still comes is not waited for.
    if (!isWhole) void reply.header('connection', 'close')
  }
}

async function nextInTime(
  chunks: AsyncIterator<Buffer>,
  idleMs: number,
): Promise<IteratorResult<Buffer, undefined>> {
  let timer: NodeJS.Timeout | undefined
  const idle = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Problem('timeout', 'Nothing has come of the file for too long.'))
    }, idleMs)
  })
  try {
    return (await Promise.race([chunks.next(), idle])) as IteratorResult<Buffer, undefined>
  } catch (error) {
    if (error instanceof Problem) throw error
    throw new Problem('invalid', 'The file ended before its end.', { cause: error })
  } finally {
    clearTimeout(timer)
  }
}

function tooLarge(mostBytes: number): Problem {
  return new Problem(
    'too_large',
    `The file is larger than ${mostBytes} bytes, which is all that is taken at a time.`,
  )
}

const newline = 0x0a

function countLines(chunk: Buffer): number {
  let count = 0
  for (let at = chunk.indexOf(newline); at !== -1; at = chunk.indexOf(newline, at + 1)) count++
  return count
}

function linesBeforeFault(chunk: Buffer): number {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let count = 0
  for (let start = 0; ; count++) {
    const end = chunk.indexOf(newline, start)
    if (end === -1) return count
    // The first line of a chunk may begin in the middle of a character: it is at fault if no other one is.
    try {
      decoder.decode(chunk.subarray(start, end))
    } catch {
      if (count > 0) return count
    }
    start = end + 1
  }
}
