import { Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { LiveCallView } from '../common/live-call.js'
import { boundTenant } from './access.js'
import type { AdminDependencies } from './dependencies.js'
import { Problem } from './errors.js'
import { echo } from './field-errors.js'

export const callParams = Type.Object({
  uuid: Type.String({
    minLength: 1,
    maxLength: 512,
    description: 'The call_uuid of the call',
    examples: ['1231c353-654e-4a12-8cc5-2f8a458b5d81'],
  }),
})

/**
 * A call that is in progress, wherever that is.
 *
 * @throws Problem when there is none, or none of whoever asks; when a server that may have it does not answer
 */
export async function findCall(
  { calls }: Pick<AdminDependencies, 'calls'>,
  request: FastifyRequest,
  uuid: string,
): Promise<LiveCallView> {
  const { call, nodes } = await calls.find(uuid)
  const own = boundTenant(request)
  if (call !== undefined && (own === undefined || call.tenant === own)) return call
  if (call === undefined && nodes.trouble !== null)
    throw new Problem(
      'call_unreachable',
      `No server that answers has the call ${echo(uuid)}, and others may have it: ${nodes.trouble}. Try again.`,
    )
  return refuseUnknownCall(uuid)
}

export function refuseUnknownCall(uuid: string): never {
  throw new Problem('not_found', `There is no call ${echo(uuid)} in progress.`)
}
