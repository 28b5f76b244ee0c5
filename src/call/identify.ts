import type { Direction } from '../numbering/direction.js'
import { normalNumber, type Country } from '../numbering/normal-form.js'
import type { Catalog, Extension, Tenant } from '../store/catalog.js'
import type { Owner } from '../store/directory.js'
import type { ChannelFacts } from './facts.js'

/** Whose call it is and who is in it. */
export interface Identity {
  /** Undefined: nobody's call. */
  readonly tenant: Tenant | undefined
  readonly direction: Direction
  /** Normal form for the tenant's country. */
  readonly caller: string
  readonly called: string
  /** The extension that calls; undefined: a caller from outside. */
  readonly callerExtension: Extension | undefined
  /** Who transferred the call to where it is now. */
  readonly transferor?: Transferor | undefined
  /** The extension that is called, itself or by its DID. */
  readonly calledExtension: Extension | undefined
  readonly isEmergency: boolean
}

/** On whose account a transferred call goes on. */
export interface Transferor {
  /** Empty: somebody who is not known to be an extension of the tenant. */
  readonly number: string
  /** Undefined for him: an outsider may not make a call at the tenant's cost. */
  readonly extension: Extension | undefined
}

export interface IdentifyOptions {
  /** SIP profiles whose callers are who they say: behind a firewall, or with their own authentication. */
  readonly trustedProfiles: ReadonlySet<string>
  /** For the called number of a call whose tenant is not known yet. */
  readonly defaultCountry: Country
  /** Whose call it is, where a server has found that out before. */
  readonly tenant?: Tenant | undefined
  /** Whose channel it is, and which of its extensions; not for the channel to say, as it was dialled by us. */
  readonly owner?: Owner | undefined
}

/**
 * The tenant, by the account code that the dialplan or the directory set, then by SIP authentication,
 * then, where the From header can be believed, by the caller's extension, then by the called DID.
 */
export function identify(
  facts: ChannelFacts,
  catalog: Catalog,
  { trustedProfiles, defaultCountry, owner: dialled, tenant: known = dialled?.tenant }: IdentifyOptions,
): Identity {
  const believesFrom = facts.isAuthorized || trustedProfiles.has(facts.profile ?? '')
  const found =
    dialled ??
    (facts.accountCode === undefined ? undefined : catalog.byAccount(facts.accountCode)) ??
    (facts.authUser === undefined ? undefined : catalog.byAuthUser(facts.authUser, facts.authRealm)) ??
    (believesFrom ? catalog.byTrustedExtension(facts.callerNumber, facts.domain) : undefined)
  const owner = known === undefined || found?.tenant.id === known.id ? found : undefined
  const dialledIn = (known ?? owner?.tenant)?.country ?? defaultCountry
  const number = normalNumber(facts.calledNumber, dialledIn)
  const did = catalog.byDid(number)
  const tenant = known ?? owner?.tenant ?? did?.tenant
  const country = tenant?.country ?? defaultCountry
  const caller = normalNumber(facts.callerNumber, country)
  const called = country === dialledIn ? number : normalNumber(facts.calledNumber, country)
  if (tenant === undefined) {
    return {
      tenant,
      direction: 'inbound',
      caller,
      called,
      callerExtension: undefined,
      calledExtension: undefined,
      isEmergency: false,
    }
  }
  // +112, as some phones dial it, is in normal form what it is meant to be.
  const isEmergency = [facts.calledNumber, called].some((form) => tenant.emergencyNumbers.has(form))
  const ownDid = did?.tenant.id === tenant.id ? did : undefined
  const calledExtension = isEmergency
    ? undefined
    : (catalog.extension(tenant.id, facts.calledNumber) ??
      (ownDid?.extension === undefined ? undefined : catalog.extension(tenant.id, ownDid.extension)))
  const isInside =
    calledExtension !== undefined ||
    ownDid !== undefined ||
    (!isEmergency && catalog.isReachedAt(tenant.id, called))
  const callerExtension =
    owner === undefined ? undefined : catalog.extension(tenant.id, owner.extension ?? facts.callerNumber)
  const isFromInside = owner?.extension !== undefined || callerExtension !== undefined
  const direction = !isInside ? 'outbound' : isFromInside ? 'internal' : 'inbound'
  return {
    ...{ tenant, direction, callerExtension, calledExtension, isEmergency },
    // An extension is its own normal form, even if it has as many digits as a number of the country.
    caller: callerExtension?.number === facts.callerNumber ? facts.callerNumber : caller,
    called: calledExtension?.number === facts.calledNumber ? facts.calledNumber : called,
  }
}
