import { ProtocolError } from './errors.js'

/** One frame off the wire: its header lines as text, its Content-Type, and the body that Content-Length announced. */
export interface Frame {
  readonly contentType: string
  /** Header lines without the blank line that ends them. */
  readonly head: string
  /** A view into what was received: copy what is to be kept. */
  readonly body: Buffer
}

export interface FrameLimits {
  /** Longest head in bytes. The reply to `connect` is all head: 7 kB for a plain call, more with large variables. Default 256 kB. */
  readonly maxHeadBytes: number
  /** Longest body in bytes. Events are 5 to 10 kB. Default 4 MB. */
  readonly maxBodyBytes: number
  /** Most bytes that may wait unread while the parser is paused. Default 8 MB. */
  readonly maxBacklogBytes: number
}

export const defaultFrameLimits: FrameLimits = {
  maxHeadBytes: 256 * 1024,
  maxBodyBytes: 4 * 1024 * 1024,
  maxBacklogBytes: 8 * 1024 * 1024,
}

const empty = Buffer.alloc(0)
const blankLine = '\n\n'

/**
 * Cuts the event socket's byte stream into frames. No socket in it: bytes go in by `push`, frames come
 * out by the callback, whatever the chunks. It keeps a buffer only while a frame is incomplete, so that
 * a silent call costs nothing.
 */
export class FrameParser {
  readonly #onFrame: (frame: Frame) => boolean
  readonly #limits: FrameLimits
  #buffer: Buffer = empty
  #start = 0
  #end = 0
  /** How far the buffer was searched for the blank line. */
  #searched = 0
  /** How many bytes the frame at the start has, once its head was read: a body may come in many chunks. */
  #frameBytes = 0
  #isPaused = false
  #isParsing = false

  /** @param onFrame answers false to pause here and be given the same frame again by `resume` */
  constructor(onFrame: (frame: Frame) => boolean, limits: Partial<FrameLimits> = {}) {
    this.#onFrame = onFrame
    this.#limits = { ...defaultFrameLimits, ...limits }
  }

  /** Bytes received that no frame has carried out yet. */
  get pendingBytes(): number {
    return this.#end - this.#start
  }

  /** @throws ProtocolError when the stream cannot be an event socket's, or a cap is passed; the stream is then useless */
  push(chunk: Buffer): void {
    this.#append(chunk)
    this.#parse()
  }

  /** No frame comes out until `resume`, not even of what is already here. */
  pause(): void {
    this.#isPaused = true
  }

  /** @throws ProtocolError as `push` does */
  resume(): void {
    this.#isPaused = false
    this.#parse()
  }

  /** The stream has ended. @throws ProtocolError when it ended inside a frame */
  end(): void {
    if (this.pendingBytes > 0 && !this.#isPaused) {
      throw new ProtocolError(`the connection ended ${this.pendingBytes} bytes into a frame`)
    }
  }

  #append(chunk: Buffer): void {
    const pending = this.pendingBytes
    if (pending + chunk.length > this.#limits.maxBacklogBytes) {
      throw new ProtocolError(`more than ${this.#limits.maxBacklogBytes} bytes wait to be read`)
    }
    if (pending === 0) {
      this.#buffer = chunk
      this.#start = this.#searched = 0
      this.#end = chunk.length
      return
    }
    if (this.#end + chunk.length > this.#buffer.length) this.#grow(pending + chunk.length)
    chunk.copy(this.#buffer, this.#end)
    this.#end += chunk.length
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafe(Math.max(2 * needed, 4096))
    this.#buffer.copy(larger, 0, this.#start, this.#end)
    this.#searched -= this.#start
    this.#end -= this.#start
    this.#start = 0
    this.#buffer = larger
  }

  #parse(): void {
    // A handler may call resume(): frames must still come out one after the other.
    if (this.#isParsing) return
    this.#isParsing = true
    try {
      while (!this.#isPaused && this.#parseFrame());
    } finally {
      this.#isParsing = false
    }
    if (this.pendingBytes === 0) {
      this.#buffer = empty
      this.#start = this.#end = this.#searched = 0
    } else if (!this.#isPaused && this.#start > 0) {
      // What is left belongs to a chunk that the next frame's bodies must not keep alive.
      this.#grow(this.pendingBytes)
    }
  }

  #parseFrame(): boolean {
    if (this.pendingBytes < this.#frameBytes) return false
    const { maxHeadBytes, maxBodyBytes } = this.#limits
    const unread = this.#end === this.#buffer.length ? this.#buffer : this.#buffer.subarray(0, this.#end)
    const from = Math.max(this.#start, this.#searched - 1)
    const blank = unread.indexOf(blankLine, from, 'latin1')
    // Without the blank line, the last byte may still be the first half of it.
    if ((blank < 0 ? this.#end - 1 : blank) - this.#start > maxHeadBytes) {
      throw new ProtocolError(`a head of more than ${maxHeadBytes} bytes`)
    }
    if (blank < 0) {
      if (unread.includes(0, from)) throw new ProtocolError('binary bytes where a head should be')
      this.#searched = this.#end
      return false
    }
    const head = unread.toString('utf8', this.#start, blank)
    const { contentType, contentLength } = framingOf(head)
    if (contentType === undefined) throw new ProtocolError('a frame without Content-Type')
    const length = bodyLength(contentType, contentLength)
    if (length > maxBodyBytes) throw new ProtocolError(`a body of ${length} bytes, more than ${maxBodyBytes}`)
    const bodyStart = blank + blankLine.length
    if (bodyStart + length > this.#end) {
      this.#searched = blank
      this.#frameBytes = bodyStart + length - this.#start
      return false
    }
    const frameStart = this.#start
    this.#start = this.#searched = bodyStart + length
    this.#frameBytes = 0
    const body = length === 0 ? empty : unread.subarray(bodyStart, bodyStart + length)
    if (!this.#onFrame({ contentType, head, body })) {
      this.#start = this.#searched = frameStart
      this.#isPaused = true
    }
    return true
  }
}

/** Frames of these types have a body, always. */
const hasBody = /^(?:api\/response|text\/event-.*|log\/data)$/

function bodyLength(contentType: string, text: string | undefined): number {
  if (text === undefined) {
    if (hasBody.test(contentType)) throw new ProtocolError(`a ${contentType} frame without Content-Length`)
    return 0
  }
  if (!/^[0-9]{1,10}$/.test(text)) throw new ProtocolError('a Content-Length that is no length')
  return Number(text)
}

interface Framing {
  readonly contentType: string | undefined
  readonly contentLength: string | undefined
}

const typeName = 'content-type'
const lengthName = 'content-length'

/** Both headers in one pass: the reply to `connect` has some 160 lines. */
function framingOf(head: string): Framing {
  let contentType: string | undefined
  let contentLength: string | undefined
  for (let start = 0; start < head.length;) {
    const end = lineEnd(head, start)
    if (isHeader(head, start, typeName)) {
      contentType = agreed(contentType, head.slice(start + typeName.length + 1, end).trim())
    } else if (isHeader(head, start, lengthName)) {
      contentLength = agreed(contentLength, head.slice(start + lengthName.length + 1, end).trim())
    }
    start = end + 1
  }
  return { contentType, contentLength }
}

/** A frame that says two things about where it ends could be cut at the wrong place. */
function agreed(before: string | undefined, value: string): string {
  if (before !== undefined && before !== value) throw new ProtocolError('two framing headers that differ')
  return value
}

/**
 * A header of a frame's head, as it was written (no percent-decoding), or undefined.
 * @param name in lower case
 */
export function headerOf(head: string, name: string): string | undefined {
  for (let start = 0; start < head.length;) {
    const end = lineEnd(head, start)
    if (isHeader(head, start, name)) return head.slice(start + name.length + 1, end).trim()
    start = end + 1
  }
  return undefined
}

function lineEnd(head: string, start: number): number {
  const end = head.indexOf('\n', start)
  return end < 0 ? head.length : end
}

/** Told apart by the colon's place first. */
function isHeader(head: string, start: number, name: string): boolean {
  return (
    head.charCodeAt(start + name.length) === 0x3a &&
    head.slice(start, start + name.length).toLowerCase() === name
  )
}
