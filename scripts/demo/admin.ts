import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Balance } from '../../src/store/balances.js'
import type { CdrView } from '../../src/store/cdrs.js'

/** How long a record may take to PostgreSQL, and how often it is looked for, in ms. */
const deliveryMs = 10_000
const pollMs = 20

/** The admin API, as far as the demo uses it. Every method throws an Error of one line. */
export class Admin {
  readonly #base: string
  readonly #key: string

  constructor(base: string, key: string) {
    this.#base = base
    this.#key = key
  }

  async balance(tenant: string): Promise<Balance> {
    return (await this.#ask('GET', `/v1/tenants/${tenant}/balance`)) as Balance
  }

  /** Books money, once. */
  async book(
    tenant: string,
    what: 'topups' | 'adjustments',
    booking: { readonly amount: string; readonly description: string },
  ): Promise<void> {
    await this.#ask('POST', `/v1/tenants/${tenant}/${what}`, booking, undefined, {
      'idempotency-key': randomUUID(),
    })
  }

  /** The call's record: on the server's disk when it lets the call's socket go, in PostgreSQL soon after. */
  async cdr(callUuid: string): Promise<CdrView> {
    const path = `/v1/cdrs?call_uuid=${callUuid}`
    const end = Date.now() + deliveryMs
    for (;;) {
      const { items } = (await this.#ask('GET', path)) as { items: CdrView[] }
      const [cdr] = items
      if (cdr !== undefined) return cdr
      if (Date.now() > end) throw new Error(`the call ${callUuid} has no CDR: the server's log says why`)
      await delay(pollMs)
    }
  }

  /** @returns false when the number was there already */
  async addToBlacklist(number: string, ttlSeconds: number, reason: string): Promise<boolean> {
    const isListed = await this.#ask('GET', `/v1/blacklist/${number}`, undefined, 404)
    if (isListed !== undefined) return false
    await this.#ask('POST', '/v1/blacklist', { number, ttl_seconds: ttlSeconds, reason })
    return true
  }

  async removeFromBlacklist(number: string): Promise<void> {
    await this.#ask('DELETE', `/v1/blacklist/${number}`)
  }

  /** @param allowed a status that is no error: undefined is the answer then */
  async #ask(
    method: string,
    path: string,
    body?: unknown,
    allowed?: number,
    more: Readonly<Record<string, string>> = {},
  ): Promise<unknown> {
    const response = await this.#fetch(method, path, body, more)
    const text = await response.text()
    if (response.ok) return text === '' ? {} : (JSON.parse(text) as unknown)
    if (response.status === allowed) return undefined
    throw new Error(`${method} ${path}: ${detailOf(text) ?? `HTTP status ${response.status}`}`)
  }

  async #fetch(
    method: string,
    path: string,
    body: unknown,
    more: Readonly<Record<string, string>>,
  ): Promise<Response> {
    const headers = { authorization: `Bearer ${this.#key}`, ...more }
    const withBody = {
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }
    try {
      const signal = AbortSignal.timeout(10_000)
      return await fetch(`${this.#base}${path}`, {
        method,
        signal,
        headers,
        ...(body !== undefined && withBody),
      })
    } catch (error) {
      throw new Error(`Linger no longer answers at ${this.#base}`, { cause: error })
    }
  }
}

function detailOf(problem: string): string | undefined {
  try {
    return (JSON.parse(problem) as { detail?: string }).detail
  } catch {
    return undefined
  }
}
