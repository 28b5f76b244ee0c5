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

/** A key that was found is good for this long without asking again; so long may a revoked one still work elsewhere. */
const trustMs = 5000
const mostTrusted = 1000
/** A key that was good so lately is not taken for a guess. */
const provenMs = 60 * 60 * 1000
const mostProven = 10_000

const bearer = /^Bearer +([\x21-\x7e]{1,256})$/i

/** Bounds how many keys can be tried from one address. */
export interface Guesses {
  /**
   * Looks up a key that may be a guess: at once, or past the limit of wrong ones after those that came before it.
   *
   * @throws Problem `rate_limited` for a wrong key past the limit, and when too many wait already; what `lookUp` throws
   */
  hold(request: FastifyRequest, lookUp: () => Promise<ApiKey | undefined>): Promise<ApiKey | undefined>
}

export interface AuthenticationOptions {
  readonly pool: pg.Pool
  readonly guesses: Guesses
  /** Monotonic clock in ms. */
  readonly now?: () => number
}

/** Lets only requests with a valid key through, and tells them who it is. */
export class Authentication {
  readonly #pool: pg.Pool
  readonly #guesses: Guesses
  readonly #now: () => number
  /** By the key's SHA-256: neither the look-up's time nor a memory dump gives a key away. */
  readonly #trusted = new Map<string, { apiKey: ApiKey; until: number }>()
  /** The same of keys that are looked up again: until when they count as no guesses. */
  readonly #proven = new Map<string, number>()
  /** Look-ups that are not answered yet: who comes with the same key waits for the same. */
  readonly #asked = new Map<string, Promise<ApiKey | undefined>>()
  /** Counts the calls of `forget`: what was asked before one is not trusted after it. */
  #generation = 0

  constructor({ pool, guesses, now }: AuthenticationOptions) {
    this.#pool = pool
    this.#guesses = guesses
    this.#now = now ?? (() => performance.now())
  }

  /** @throws Problem unauthorized, rate_limited or database_away */
  async check(request: FastifyRequest): Promise<void> {
    const { authorization } = request.headers
    const text = bearer.exec(authorization ?? '')?.[1]
    if (text === undefined) {
      throw new Problem('unauthorized', 'Send the header "Authorization: Bearer" with an API key.')
    }
    const apiKey = await this.#find(text, request)
    if (!apiKey) throw new Problem('unauthorized', 'This API key is not valid.')
    request.apiKey = apiKey
  }

  /** From now on every key is looked up again: one was revoked. */
  forget(): void {
    this.#generation++
    this.#trusted.clear()
    this.#asked.clear()
  }

  #find(text: string, request: FastifyRequest): Promise<ApiKey | undefined> | ApiKey {
    const hash = createHash('sha256').update(text).digest('base64')
    const now = this.#now()
    const trusted = this.#trusted.get(hash)
    if (trusted && now < trusted.until && !hasExpired(trusted.apiKey)) return trusted.apiKey
    this.#trusted.delete(hash)
    // Whoever guesses must not hold up those who know.
    const isGuess = now >= (this.#proven.get(hash) ?? -Infinity)
    const about = isGuess ? `${request.ip} ${hash}` : hash
    const asked = this.#asked.get(about)
    if (asked) return asked
    const lookUp = () => fromStore(findKey(this.#pool, text))
    const answer = this.#learn(hash, isGuess ? this.#guesses.hold(request, lookUp) : lookUp()).finally(() => {
      if (this.#asked.get(about) === answer) this.#asked.delete(about)
    })
    this.#asked.set(about, answer)
    return answer
  }

  async #learn(hash: string, answer: Promise<ApiKey | undefined>): Promise<ApiKey | undefined> {
    const generation = this.#generation
    const apiKey = await answer
    if (!apiKey) this.#proven.delete(hash)
    else if (generation === this.#generation) {
      keep(this.#trusted, mostTrusted, hash, { apiKey, until: this.#now() + trustMs })
      keep(this.#proven, mostProven, hash, this.#now() + provenMs)
    }
    return apiKey
  }
}

/** The id of the key that a request under /v1 came with. */
export function keyIdOf({ apiKey }: FastifyRequest): string {
  if (!apiKey) throw new Error('a route under /v1 was reached without a key')
  return apiKey.id
}

function hasExpired({ expiresAt }: ApiKey): boolean {
  return expiresAt !== null && Date.now() >= expiresAt
}

function keep<T>(map: Map<string, T>, most: number, hash: string, value: T): void {
  if (map.size >= most) map.clear()
  map.set(hash, value)
}
