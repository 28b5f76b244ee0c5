import { createHash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type pg from 'pg'
import { findKey, type ApiKey } from '../store/api-keys.js'
import { fromStore, Problem } from './errors.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; set on everything under /v1. */
    apiKey: ApiKey | undefined
  }
}

/** A key that was found is good for this long without asking again; so long may a revoked one still work. */
const trustMs = 5000
const mostTrusted = 1000

const bearer = /^Bearer +([\x21-\x7e]{1,256})$/i

/** Lets only requests with a valid admin key through, and tells them who it is. */
export class Authentication {
  readonly #pool: pg.Pool
  readonly #now: () => number
  /** By the key's SHA-256: neither the look-up's time nor a memory dump gives a key away. */
  readonly #trusted = new Map<string, { apiKey: ApiKey; until: number }>()

  /** @param now monotonic clock in ms */
  constructor(pool: pg.Pool, now: () => number = () => performance.now()) {
    this.#pool = pool
    this.#now = now
  }

  /** @throws Problem unauthorized, forbidden or database_away */
  async check(request: FastifyRequest): Promise<void> {
    const { authorization } = request.headers
    const text = bearer.exec(authorization ?? '')?.[1]
    if (text === undefined) {
      throw new Problem('unauthorized', 'Send the header "Authorization: Bearer" with an API key.')
    }
    const apiKey = await this.#find(text)
    if (!apiKey) throw new Problem('unauthorized', 'This API key is not valid.')
    // What the other roles and a tenant's keys may do is yet to be told: until then, nothing.
    if (apiKey.role !== 'admin' || apiKey.tenant !== null) {
      throw new Problem('forbidden', 'An admin key that is bound to no tenant is needed.')
    }
    request.apiKey = apiKey
  }

  async #find(text: string): Promise<ApiKey | undefined> {
    const hash = createHash('sha256').update(text).digest('base64')
    const trusted = this.#trusted.get(hash)
    if (trusted && this.#now() < trusted.until) return trusted.apiKey
    this.#trusted.delete(hash)
    const apiKey = await fromStore(findKey(this.#pool, text))
    if (apiKey) {
      if (this.#trusted.size >= mostTrusted) this.#trusted.clear()
      this.#trusted.set(hash, { apiKey, until: this.#now() + trustMs })
    }
    return apiKey
  }
}

/** The id of the key that a request under /v1 came with. */
export function keyIdOf({ apiKey }: FastifyRequest): string {
  if (!apiKey) throw new Error('a route under /v1 was reached without a key')
  return apiKey.id
}
