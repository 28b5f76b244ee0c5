import { setTimeout as pause } from 'node:timers/promises'
import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { keyIdOf, type Guesses } from './auth.js'
import { Problem } from './errors.js'

/** How often the API may be asked, on this node. */
export interface RateLimits {
  /** Of a key that has no limit of its own. */
  readonly requestsPerMinute: number
  /** From one address (of IPv6: from one /64); more are looked up one at a time, with a pause after each wrong one. */
  readonly wrongKeysPerMinute: number
  /** That pause. Default: 300. */
  readonly wrongKeyPauseMs?: number
}

const minuteMs = 60_000
/** Who has one address of IPv6 has a network of them. */
const ipv6Network = 64
/** Of keys past the limit of wrong ones, that wait to be looked up, of one address. */
const mostWaiting = 10

/** The look-ups of one address. */
interface Lane {
  /** Within the limit, that are not answered yet: each may turn out to be a wrong key. */
  within: number
  /** Past the limit, the one that is looked up or rests after a wrong one included. */
  past: number
  /** Resolves when the last of those past the limit is through. Never rejects. */
  last: Promise<unknown>
}

/** Holds every key to its limit on the routes that are registered on `v1` from now on. */
export async function limitRates(v1: FastifyInstance, { requestsPerMinute }: RateLimits): Promise<void> {
  await v1.register(rateLimit, {
    timeWindow: minuteMs,
    max: ({ apiKey }) => apiKey?.requestsPerMinute ?? requestsPerMinute,
    keyGenerator: keyIdOf,
    errorResponseBuilder: (_request, { max, ttl }) =>
      new Problem('rate_limited', `This key may ask ${max} times a minute; wait ${seconds(ttl)} s.`),
  })
}

/**
 * Counts wrong keys by the address that they come from. A right key always gets in, past the limit a little later:
 * whose address others share must not be kept out by their wrong keys.
 */
export function guessesOf(
  v1: FastifyInstance,
  { wrongKeysPerMinute, wrongKeyPauseMs = 300 }: RateLimits,
): Guesses {
  const keyGenerator = ({ ip }: FastifyRequest) => rateLimit.normalizeIP(ip, ipv6Network)
  const count = v1.createRateLimit({ max: wrongKeysPerMinute, timeWindow: minuteMs, keyGenerator })
  const lanes = new Map<string, Lane>()
  let counting: Promise<unknown> = Promise.resolve()

  return {
    hold: async (request, lookUp) => {
      const address = keyGenerator(request)
      const { lane, isWithin } = await oneByOne(() => enter(request, address))
      if (isWithin) {
        let isWrong = false
        try {
          const found = await lookUp()
          isWrong = !found
          return found
        } finally {
          await oneByOne(async () => {
            if (isWrong) await count(request)
            lane.within--
            tidy(address, lane)
          })
        }
      }
      const answer = lane.last.then(lookUp)
      lane.last = answer
        .then((found) => (found ? undefined : pause(wrongKeyPauseMs)))
        .catch(() => undefined)
        .finally(() => {
          lane.past--
          tidy(address, lane)
        })
      const found = await answer
      if (found) return found
      const state = await oneByOne(() => count(request))
      throw tooMany(request, state.isAllowed ? 0 : state.ttl)
    },
  }

  async function enter(request: FastifyRequest, address: string): Promise<{ lane: Lane; isWithin: boolean }> {
    const state = await count(request, { increment: false })
    const lane = lanes.get(address) ?? { within: 0, past: 0, last: Promise.resolve() }
    // As if all that are being looked up were wrong: else any number could be tried at once.
    const isWithin = state.isAllowed || state.remaining > lane.within
    if (!isWithin && lane.past >= mostWaiting) throw tooMany(request, state.ttl)
    if (isWithin) lane.within++
    else lane.past++
    lanes.set(address, lane)
    return { lane, isWithin }
  }

  /** What was counted must not change between the look at it and what follows from it. */
  function oneByOne<T>(work: () => Promise<T>): Promise<T> {
    const done = counting.then(work)
    counting = done.catch(() => undefined)
    return done
  }

  function tidy(address: string, { within, past }: Lane): void {
    if (within + past === 0) lanes.delete(address)
  }
}

function tooMany({ ip }: FastifyRequest, ttl: number): Problem {
  const retryAfter = Math.max(1, seconds(ttl))
  return new Problem('rate_limited', `There were too many wrong keys from ${ip}; wait ${retryAfter} s.`, {
    retryAfter,
  })
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1000)
}
