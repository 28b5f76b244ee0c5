import { createHash, timingSafeEqual } from 'node:crypto'
import type { BlockList } from 'node:net'
import type { FastifyRequest } from 'fastify'

export interface AccessOptions {
  /** The addresses of the FreeSWITCHes. */
  readonly allow: BlockList
  /** What they prove themselves with (HTTP basic); without it, nothing. */
  readonly auth?: { readonly user: string; readonly password: string } | undefined
}

/** Whether a request may come in: 403, it comes from elsewhere; 401, it does not say who it is. */
export function refusalOf(
  { headers, socket }: FastifyRequest,
  { allow, auth }: AccessOptions,
): 401 | 403 | undefined {
  const { remoteAddress, remoteFamily } = socket
  const kind = remoteFamily === 'IPv6' ? 'ipv6' : 'ipv4'
  // An address that is written in IPv6's way for IPv4 is looked for in either list.
  if (remoteAddress === undefined || !allow.check(remoteAddress, kind)) return 403
  if (auth === undefined) return undefined
  return isSame(credentialsIn(headers.authorization), `${auth.user}:${auth.password}`) ? undefined : 401
}

/** @returns `user:password`, or what can be nobody's */
function credentialsIn(authorization: string | undefined): string {
  const [, base64] = /^Basic +([A-Za-z0-9+/=]{1,1024})$/i.exec(authorization ?? '') ?? []
  return base64 === undefined ? '' : Buffer.from(base64, 'base64').toString()
}

/** How long it takes says nothing about how much of it is right. */
function isSame(one: string, other: string): boolean {
  const [a, b] = [one, other].map((text) => createHash('sha256').update(text).digest())
  return a !== undefined && b !== undefined && timingSafeEqual(a, b)
}
