import { normalNumber } from '../numbering/normal-form.js'
import { NoRoute, type Leading } from '../routes/registry.js'
import type { Tenant } from '../store/catalog.js'
import { chooseRoute } from './choose-route.js'
import { identify } from './identify.js'
import type { SessionDependencies } from './session-dependencies.js'
import type { Story } from './story.js'

export interface Transferring {
  readonly story: Story
  readonly tenant: Tenant
  readonly dependencies: SessionDependencies
}

/**
 * Whether a call would be served where somebody wants to send it: nobody who talks is to be lost to a wrong digit. It is
 * asked of the same rules as when the call comes back from there, and is decided by those then.
 *
 * @param to as it would be dialled
 * @returns why not; undefined: it would
 */
export function whereTo(to: string, { story, tenant, dependencies }: Transferring): string | undefined {
  const { catalog } = dependencies
  const facts = { ...story.facts, calledNumber: to, socketPath: undefined }
  const identity = identify(facts, catalog, { ...dependencies, tenant })
  let leading: Leading
  try {
    leading = chooseRoute(facts, identity, undefined, dependencies)
  } catch (error) {
    if (error instanceof NoRoute) return error.message
    throw error
  }
  // Led there by its number plan, or to the phone of an extension.
  if (leading.route !== dependencies.routes.default.route || Object.keys(leading.args).length > 0)
    return undefined
  if (identity.calledExtension !== undefined || identity.isEmergency) return undefined
  if (identity.direction !== 'outbound') return 'this number leads nowhere'
  const number = normalNumber(to, tenant.country)
  if (catalog.gateways(tenant.id, number).length === 0)
    return 'neither an extension nor a number that a gateway serves'
  if (catalog.isBlocked(tenant.id, number)) return 'the tenant blocks this destination'
  if (catalog.rate(tenant.id, number) === undefined && !tenant.allowsUnrated)
    return 'the destination has no rate'
  return undefined
}
