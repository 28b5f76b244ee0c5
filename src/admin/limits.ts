import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { keyIdOf, type Guesses } from './auth.js'
import { Problem } from './errors.js'

/** How often the API may be asked, on this node. */
export interface RateLimits {
  /** Of a key that has no limit of its own. */
  readonly requestsPerMinute: number
  /** From one address (of IPv6: from one /64); more are not looked up. */
  readonly wrongKeysPerMinute: number
}

const minuteMs = 60_000
/** Who has one address of IPv6 has a network of them. */
const ipv6Network = 64

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

/** Counts wrong keys by the address that they come from. */
export function guessesOf(v1: FastifyInstance, { wrongKeysPerMinute }: RateLimits): Guesses {
  const count = v1.createRateLimit({
    max: wrongKeysPerMinute,
    timeWindow: minuteMs,
    keyGenerator: ({ ip }) => rateLimit.normalizeIP(ip, ipv6Network),
  })
  return {
    note: async (request) => {
      await count(request)
    },
    refuse: async (request: FastifyRequest) => {
      const state = await count(request, { increment: false })
      if (state.isAllowed || state.remaining > 0) return
      const retryAfter = seconds(state.ttl)
      throw new Problem(
        'rate_limited',
        `There were too many wrong keys from ${request.ip}; wait ${retryAfter} s.`,
        { retryAfter },
      )
    },
  }
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1000)
}
