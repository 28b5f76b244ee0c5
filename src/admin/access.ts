import type { FastifyInstance, FastifyRequest } from 'fastify'
import { roles, type Role } from '../store/api-keys.js'
import { Problem, refuseUnknownTenant } from './errors.js'
import { problems } from './schemas.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access
  }
}

/** Who may use a route. */
export interface Access {
  /** The least role that may. */
  readonly role: Role
  /**
   * What a key may that is bound to a tenant: use it for its `own` tenant alone; use it like `any` other, as
   * nothing in it is a tenant's; or `no`.
   */
  readonly bound: 'own' | 'any' | 'no'
}

/** What every route under /v1 must say in its `config`. */
export function access(role: Role, bound: Access['bound']): { access: Access } {
  return { access: { role, bound } }
}

/** The one tenant that whoever asks may see; undefined: all. */
export function boundTenant({ apiKey }: FastifyRequest): string | undefined {
  return apiKey?.tenant ?? undefined
}

/** Words for openapi.json. */
export function accessWords({ role, bound }: Access): string {
  const key = `Needs a key with the role \`${role}\`${role === 'admin' ? '' : ' or a higher one'}`
  const words = {
    own: 'one that is bound to a tenant does for what is its own',
    any: 'one that is bound to a tenant does, too',
    no: 'one that is bound to a tenant does not do',
  }
  return `${key}; ${words[bound]}.`
}

/** Holds every route that is registered on `v1` from now on to what it says of itself. */
export function guardAccess(v1: FastifyInstance): void {
  v1.addHook('onRoute', ({ method, url, config, schema }) => {
    if (config?.access === undefined)
      throw new Error(`the route ${String(method)} ${url} does not say who may use it`)
    if (schema === undefined) return
    const { role, bound } = config.access
    // Another tenant's is as though it were not there.
    const statuses: (403 | 404)[] = []
    if (role !== 'read' || bound === 'no') statuses.push(403)
    if (bound === 'own') statuses.push(404)
    schema.response = { ...(schema.response as object), ...problems(...statuses) }
  })
  // Before the body is read, and after the request was counted.
  v1.addHook('preParsing', (request, _reply, _payload, done) => {
    refuseRole(request)
    done()
  })
  v1.addHook('preValidation', (request, _reply, done) => {
    confine(request)
    done()
  })
}

function refuseRole(request: FastifyRequest): void {
  const { apiKey, routeOptions } = request
  const { access: needed } = routeOptions.config
  if (apiKey === undefined || needed === undefined) throw new Error('a route under /v1 was reached unguarded')
  if (roles.indexOf(apiKey.role) < roles.indexOf(needed.role))
    throw new Problem(
      'forbidden',
      `A key with the role ${needed.role} is needed; this one has ${apiKey.role}.`,
    )
  if (apiKey.tenant !== null && needed.bound === 'no')
    throw new Problem('forbidden', 'A key is needed that is bound to no tenant.')
}

/** @throws Problem when a bound key asks for another tenant's; what is left out is its own */
function confine(request: FastifyRequest): void {
  const own = boundTenant(request)
  if (own === undefined || request.routeOptions.config.access?.bound !== 'own') return
  const { schema } = request.routeOptions
  for (const [part, of] of [
    [request.params, schema?.params],
    [request.query, schema?.querystring],
    [request.body, schema?.body],
  ] as const) {
    if (typeof part !== 'object' || part === null) continue
    const fields = part as { tenant?: unknown }
    if (fields.tenant === undefined) {
      if (hasTenant(of)) fields.tenant = own
    } else if (fields.tenant !== own) {
      refuseOther(fields.tenant)
      return
    }
  }
}

/** What is no text at all is for the schema to refuse. */
function refuseOther(tenant: unknown): void {
  if (typeof tenant === 'string') refuseUnknownTenant(tenant)
}

function hasTenant(schema: unknown): boolean {
  return (schema as { properties?: Record<string, unknown> } | undefined)?.properties?.tenant !== undefined
}
