import type { Party } from '../common/live-call.js'
import { normalNumber } from '../numbering/normal-form.js'
import { NoRoute, type Leading } from '../routes/registry.js'
import type { Tenant } from '../store/catalog.js'
import { chooseRoute } from './choose-route.js'
import { identify, type Identity } from './identify.js'
import { whyBarred } from './legs/leg-rate.js'
import { extensionsOf } from './legs/target.js'
import type { SessionDependencies } from './session-dependencies.js'
import type { Story } from './story.js'

export interface Transferring {
  /** Who is sent there. */
  readonly party: Party
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
export function whereTo(to: string, { party, ...on }: Transferring): string | undefined {
  const { story, tenant, dependencies } = on
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
  const { direction } = identity
  return whyBarred(number, { tenant, catalog, identity: { direction, ...answerable(party, on) } })
}

/** Who answers for where a party is sent: whom it talks to, if that is an extension, as if it had sent it there itself. */
function answerable(
  party: Party,
  { story, tenant, dependencies: { catalog } }: Omit<Transferring, 'party'>,
): Pick<Identity, 'callerExtension' | 'transferor'> {
  const { callerExtension, transferor } = story.identity
  const attempt = story.legs.talking?.attempt
  const taker = attempt && (attempt.taker?.extension ?? onlyOne(extensionsOf(attempt.target)))
  const called = taker === undefined ? undefined : catalog.extension(tenant.id, taker)
  if (party === 'called') return { callerExtension: callerExtension ?? called }
  if (taker === undefined) return { callerExtension, transferor }
  return { callerExtension, transferor: { number: taker, extension: called } }
}

function onlyOne<T>(all: readonly T[]): T | undefined {
  return all.length === 1 ? all[0] : undefined
}
