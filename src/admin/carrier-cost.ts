import type { FastifyRequest } from 'fastify'
import { boundTenant } from './access.js'

/**
 * A gateway as whoever asks may see it: what the carriers take is between them and whoever runs the server, not for a
 * key that is bound to a tenant.
 */
export function withoutCarrierCost<T extends object>(request: FastifyRequest, gateway: T): T {
  const isHidden = boundTenant(request) !== undefined && 'carrier_cost_per_minute' in gateway
  return isHidden ? { ...gateway, carrier_cost_per_minute: null } : gateway
}

const notForTenants = ['carrier_cost_per_minute', 'effective_max_calls', 'effective_max_calls_per_second']

/**
 * A resource as the audit keeps it, as whoever asks may see it. Of a gateway its effective limits may be those of other
 * tenants; who had one of its name then, nobody knows any more.
 */
export function withoutWhatIsOthers(request: FastifyRequest, state: object | null): object | null {
  if (state === null || boundTenant(request) === undefined) return state
  const hidden = notForTenants.filter((field) => field in state)
  return hidden.length === 0
    ? state
    : { ...state, ...Object.fromEntries(hidden.map((field) => [field, null])) }
}
