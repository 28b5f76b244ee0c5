import { CliError, exitCodes, usageError, type ExitCode } from './errors.js'
import type { Settings } from './settings.js'

export type Query = Readonly<Record<string, string | number | boolean | undefined>>

export interface Asked {
  readonly query?: Query
  /** Sent as JSON. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export interface Answer<T> {
  readonly status: number
  readonly body: T
}

/** As the API writes errors (RFC 9457); what stands between may answer anything. */
interface Problem {
  readonly title?: unknown
  readonly detail?: unknown
  readonly errors?: unknown
}

/** So long a short answer may take, in ms. */
const answerMs = 60_000
const longestReason = 300

/** A path under /v1 of which `parts` are whatever somebody typed. @throws CliError */
export function pathOf(...parts: readonly string[]): string {
  // A URL loses them, and what is left is the path of something else.
  if (parts.some((part) => /^\.{0,2}$/.test(part)))
    throw usageError(`${JSON.stringify(parts.at(-1))} is no name of anything`)
  return parts.map((part) => `/${encodeURIComponent(part)}`).join('')
}

/** The API of a server. Everything throws CliError. */
export class Client {
  readonly #url: string
  readonly #key: string
  readonly #signal: AbortSignal

  /** @param signal ends what is under way */
  constructor({ url, key }: Settings, signal: AbortSignal) {
    this.#url = url
    this.#key = key
    this.#signal = signal
  }

  async ask<T>(method: string, path: string, { query, body, headers }: Asked = {}): Promise<Answer<T>> {
    const timeout = AbortSignal.timeout(answerMs)
    const response = await this.#fetch(path, query, {
      method,
      headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.any([this.#signal, timeout]),
    })
    return this.#answer<T>(response)
  }

  /** Sends what need not fit into memory. */
  async send<T>(
    path: string,
    { query, type, content }: { query?: Query; type: string; content: AsyncIterable<Uint8Array> },
  ): Promise<Answer<T>> {
    const response = await this.#fetch(path, query, {
      method: 'POST',
      headers: { 'content-type': type },
      body: ReadableStream.from(content),
      duplex: 'half',
      signal: this.#signal,
    })
    return this.#answer<T>(response)
  }

  /** What comes need not fit into memory. */
  async *fetch(path: string, query?: Query): AsyncGenerator<Uint8Array> {
    const { body } = await this.#fetch(path, query, { signal: this.#signal })
    if (body === null) return
    try {
      for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) yield chunk
    } catch (error) {
      throw this.#trouble(error)
    }
  }

  async #fetch(path: string, query: Query = {}, options: RequestInit): Promise<Response> {
    const asked = Object.entries(query).flatMap(([name, value]): [string, string][] =>
      value === undefined ? [] : [[name, String(value)]],
    )
    const search = asked.length === 0 ? '' : `?${new URLSearchParams(asked).toString()}`
    let response: Response
    try {
      response = await fetch(`${this.#url}/v1${path}${search}`, {
        ...options,
        headers: { ...(options.headers as Record<string, string>), authorization: `Bearer ${this.#key}` },
        // The key is for this server and no other.
        redirect: 'error',
      })
    } catch (error) {
      throw this.#trouble(error)
    }
    if (!response.ok) throw await refusal(response)
    return response
  }

  async #answer<T>(response: Response): Promise<Answer<T>> {
    let text: string
    try {
      text = await response.text()
    } catch (error) {
      throw this.#trouble(error)
    }
    try {
      return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as T }
    } catch (error) {
      throw new CliError(exitCodes.trouble, `${this.#url} does not answer as Linger does`, { cause: error })
    }
  }

  #trouble(error: unknown): CliError {
    if (error instanceof CliError) return error
    if (this.#signal.aborted)
      return new CliError(exitCodes.interrupted, 'interrupted', { cause: error, isLost: true })
    // fetch() hides what happened behind "fetch failed".
    const { cause } = error as Error
    // What was to be sent could not be read.
    if (cause instanceof CliError) return cause
    const reason = [cause, error].find((each): each is Error => each instanceof Error && each.message !== '')
    return new CliError(
      exitCodes.trouble,
      `${this.#url} cannot be reached: ${reason?.message ?? 'no reason'}`,
      {
        cause: error,
        isLost: true,
      },
    )
  }
}

async function refusal(response: Response): Promise<CliError> {
  const text = await response.text().catch(() => '')
  let problem: Problem = {}
  try {
    const body: unknown = JSON.parse(text)
    if (typeof body === 'object' && body !== null) problem = body
  } catch {
    // Not ours: something between here and the server answered.
  }
  const said = [problem.detail, problem.title].find((each) => typeof each === 'string')
  const errors: unknown[] = Array.isArray(problem.errors) ? problem.errors : []
  const { status, statusText } = response
  return new CliError(
    exitCodeOf(status),
    said ?? `HTTP ${status} ${statusText || text.slice(0, longestReason)}`,
    {
      details: errors.map((each) => {
        const { line, field, detail } = each as { line?: number; field?: string; detail?: string }
        const at = line === undefined ? '' : `line ${line}: `
        return `${at}${field ?? ''}: ${detail ?? ''}`
      }),
      // 503 says that it did not do it, and no other does.
      isLost: status > 500 && status !== 503,
    },
  )
}

function exitCodeOf(status: number): ExitCode {
  if (status === 401 || status === 403) return exitCodes.unauthorised
  if (status === 404) return exitCodes.missing
  // Too slow, too often: it may go later, as what is the server's own trouble.
  if (status >= 500 || status === 408 || status === 429) return exitCodes.trouble
  return exitCodes.refused
}
