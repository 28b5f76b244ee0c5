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
