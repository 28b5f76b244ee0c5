import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import pg from 'pg'
import { RedisAway } from '../screening/redis.js'
import { CursorError, isServerTrouble, TooMuchError } from '../store/errors.js'
import { ChangeRefused, type RefusalCode } from '../store/refusal.js'
import { isUploading } from './uploading.js'
import { echo, fieldErrors, type FieldError, type Violation } from './field-errors.js'

/** Every error that the API answers with. */
const table = {
  invalid: { status: 400, title: 'The request is not valid' },
  unauthorized: { status: 401, title: 'An API key is needed' },
  forbidden: { status: 403, title: 'The API key does not allow this' },
  not_found: { status: 404, title: 'There is no such thing' },
  timeout: { status: 408, title: 'The request took too long' },
  key_reused: { status: 409, title: 'The idempotency key was used for another booking' },
  taken: { status: 409, title: 'There is one already' },
  in_use: { status: 409, title: 'Something depends on it' },
  not_now: { status: 409, title: 'The call is not in the state for it' },
  unreadable: { status: 409, title: 'This release cannot read it' },
  version_conflict: { status: 412, title: 'It was changed meanwhile' },
  too_large: { status: 413, title: 'The request is too large' },
  too_long: { status: 414, title: 'The URL is too long' },
  unsupported_media_type: { status: 415, title: 'The body is of another kind than is needed' },
  too_much: { status: 422, title: 'It would take too long' },
  unratable: { status: 422, title: 'The call cannot be rated' },
  version_missing: { status: 428, title: 'The version must be said' },
  rate_limited: { status: 429, title: 'There were too many requests' },
  header_too_large: { status: 431, title: 'The header of the request is too large' },
  busy: { status: 503, title: 'The server is busy' },
  internal: { status: 500, title: 'The server failed' },
  not_ready: { status: 503, title: 'The server is not ready' },
  call_unreachable: { status: 503, title: 'The server that has the call does not answer' },
  redis_away: { status: 503, title: 'Redis is away' },
  database_away: { status: 503, title: 'PostgreSQL is away' },
  journal_away: { status: 503, title: 'The journal cannot be written' },
} as const

export type ProblemCode = keyof typeof table

export const problemType = 'application/problem+json'

/** Of a request with more wrong fields, the first ones are told. */
const mostErrors = 20

/** An error as RFC 9457 writes it. */
export interface ProblemBody {
  /** `urn:linger:problem:{code}`: what a program tells errors apart by. */
  type: string
  title: string
  status: number
  detail: string
  /** The fields at fault, of an invalid request. */
  errors?: FieldError[]
}

/** What a handler throws to answer with an error of the table. `detail` is shown to the client. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly code: ProblemCode
  readonly errors: FieldError[] | undefined
  /** When to try again, in seconds. */
  readonly retryAfter: number | undefined

  constructor(
    code: ProblemCode,
    detail: string,
    options?: ErrorOptions & { errors?: FieldError[]; retryAfter?: number },
  ) {
    super(detail, options)
    this.code = code
    this.errors = options?.errors
    this.retryAfter = options?.retryAfter ?? (this.status === 503 ? 1 : undefined)
  }

  get status(): number {
    return table[this.code].status
  }

  toJSON(): ProblemBody {
    const { status, title } = table[this.code]
    const { errors } = this
    return {
      type: `urn:linger:problem:${this.code}`,
      title,
      status,
      detail: this.message,
      ...(errors && { errors }),
    }
  }
}

/** @throws the problem of an invalid request, with its fields */
export function refuseInvalid(errors: FieldError[]): never {
  throw invalid(errors)
}

/** What the client did wrong before a schema was asked; the texts of Fastify's errors are not for it. */
const clientErrors: Readonly<Record<string, [ProblemCode, string]>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: ['invalid', 'The body is not well-formed JSON.'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['invalid', 'The body is not as long as Content-Length says.'],
  FST_ERR_CTP_BODY_TOO_LARGE: ['too_large', 'The body is larger than this resource takes.'],
  FST_ERR_BAD_URL: ['invalid', 'The URL has a broken percent-escape.'],
  FST_ERR_MAX_PARAM_LENGTH: ['too_long', 'A part of the path is too long.'],
}

const protocolErrors: Readonly<Record<string, Problem>> = {
  ERR_HTTP_REQUEST_TIMEOUT: new Problem('timeout', 'The request did not come whole in time.'),
  HPE_HEADER_OVERFLOW: new Problem('header_too_large', 'The header of the request is too large.'),
}

/** Answers with the problem that `error` is. What is the server's fault is logged whole, and not shown. */
export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const problem = problemOf(error, request)
  if (problem.status >= 500) {
    const level = problem.code === 'internal' ? 'error' : 'warn'
    request.log[level]({ err: error, route: request.routeOptions.url }, problem.message)
  }
  if (problem.code === 'unauthorized') void reply.header('www-authenticate', 'Bearer realm="linger"')
  if (problem.retryAfter !== undefined) void reply.header('retry-after', String(problem.retryAfter))
  void reply.code(problem.status).type(problemType).send(problem.toJSON())
}

/** Answers what is no HTTP, or comes too slowly to be a request. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && isUploading(socket)) return
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const problem = protocolErrors[error.code ?? ''] ?? new Problem('invalid', 'This is not HTTP.')
  const body = JSON.stringify(problem)
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}\r\nContent-Type: ${problemType}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}

export function answerNotFound(request: FastifyRequest, reply: FastifyReply): void {
  answerError(new Problem('not_found', 'No resource has this method and path.'), request, reply)
}

const lockNotAvailable = '55P03'

/**
 * Waits for an answer of PostgreSQL.
 *
 * @throws Problem when it is away, when it was asked for a page by a cursor that is none, or for too much
 */
export async function fromStore<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    // Thrown in the middle of a transaction.
    if (error instanceof Problem || error instanceof RedisAway) throw error
    if (error instanceof CursorError) refuseCursor()
    if (error instanceof TooMuchError)
      throw new Problem('too_much', 'That is too much to look through. Ask for one tenant, or less time.', {
        cause: error,
      })
    if (error instanceof pg.DatabaseError && error.code === lockNotAvailable)
      throw new Problem('busy', 'Something else is changing the same. Nothing was changed; send it again.', {
        cause: error,
      })
    const isSocketsFault =
      error instanceof Error && (error.name === 'Error' || error.name === 'AggregateError')
    if ((isSocketsFault || error instanceof pg.DatabaseError) && isServerTrouble(error)) {
      throw new Problem('database_away', 'PostgreSQL does not answer. Try again later.', { cause: error })
    }
    throw error
  }
}

/** @throws the problem of a cursor that is not one of this list's */
export function refuseCursor(): never {
  refuseInvalid([{ field: 'cursor', detail: 'is not the "next" of a page of this list' }])
}

/** @throws the problem of a path with a tenant that there is not */
export function refuseUnknownTenant(id: string): never {
  throw new Problem('not_found', `There is no tenant ${echo(id)}.`)
}

const refusals: Readonly<Record<RefusalCode, ProblemCode>> = {
  invalid: 'invalid',
  not_found: 'not_found',
  conflict: 'version_conflict',
  taken: 'taken',
  missing: 'invalid',
  in_use: 'in_use',
  unratable: 'unratable',
}

function problemOf(error: unknown, request: FastifyRequest): Problem {
  if (error instanceof Problem) return error
  if (error instanceof ChangeRefused) return refusal(error)
  if (error instanceof RedisAway) {
    return new Problem('redis_away', `${error.message}. Try again later.`, { cause: error })
  }
  const { code, validation, validationContext } = error as Partial<FastifyError>
  if (validation && validationContext) {
    const schema = request.routeOptions.schema?.[validationContext as 'body' | 'querystring' | 'params']
    const value = validationContext === 'querystring' ? request.query : request[validationContext as 'body']
    return invalid(fieldErrors({ violations: validation as unknown as Violation[], schema, value }))
  }
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    const [type = 'application/json'] = request.routeOptions.schema?.consumes ?? []
    return new Problem('unsupported_media_type', `Content-Type must be ${type}.`)
  }
  const known = code === undefined ? undefined : clientErrors[code]
  if (known) return new Problem(...known)
  return new Problem('internal', 'The server failed; its log says why.', { cause: error })
}

function refusal(error: ChangeRefused): Problem {
  const { message, field } = error
  const code = refusals[error.code]
  if (field === undefined) return new Problem(code, sentence(message), { cause: error })
  const errors = [{ field, detail: message }]
  return code === 'invalid' ? invalid(errors) : new Problem(code, sentence(message), { cause: error, errors })
}

/** What the store says in the middle of a sentence, as one of its own. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}

function invalid(all: FieldError[]): Problem {
  const errors = all.slice(0, mostErrors)
  const fields = errors.map(({ field }) => field)
  return new Problem('invalid', `Not valid: ${fields.join(', ')}.`, { errors })
}
