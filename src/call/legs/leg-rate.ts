import { unrated, type Rate } from '../../billing/rating.js'
import { isTollAllowed, numberClass } from '../../numbering/number-class.js'
import type { Catalog, Tenant } from '../../store/catalog.js'
import type { Identity } from '../identify.js'

export interface LegRateOptions {
  readonly tenant: Tenant
  readonly identity: Identity
  readonly catalog: Catalog
  /** Ends the call, and says why. */
  readonly refuse: (cause: string, why: string) => Promise<never>
}

/** Who is answerable for what is dialled. */
type Caller = Pick<Identity, 'direction' | 'callerExtension' | 'transferor'>

/** Whether what is dialled is an emergency number: the one that was called, or one that the call's flow leads to. */
export function isEmergencyLeg(
  number: string,
  {
    tenant,
    identity,
  }: Pick<LegRateOptions, 'tenant'> & { identity: Pick<Identity, 'called' | 'isEmergency'> },
): boolean {
  return number === identity.called ? identity.isEmergency : tenant.emergencyNumbers.has(number)
}

/**
 * Why a number may not be called: for the tenant, for who calls, or for who transferred the call there.
 *
 * @param number in normal form, of no emergency
 * @returns undefined: it may
 */
export function whyBarred(
  number: string,
  { tenant, identity, catalog }: Pick<LegRateOptions, 'tenant' | 'catalog'> & { identity: Caller },
): string | undefined {
  if (catalog.isBlocked(tenant.id, number)) return 'the tenant blocks this destination'
  const { transferor, direction } = identity
  if (transferor !== undefined && transferor.extension === undefined && direction === 'outbound')
    return 'only an extension may transfer a call to the outside, and none is known to have done it'
  const tollAllow = (transferor?.extension ?? identity.callerExtension)?.tollAllow
  if (tollAllow !== undefined) {
    const kind = numberClass(number, tenant)
    if (!isTollAllowed(kind, tollAllow)) return `the extension may not call ${kind} numbers (toll_allow)`
  }
  if (catalog.rate(tenant.id, number) === undefined && !tenant.allowsUnrated)
    return 'the destination has no rate'
  return undefined
}

/**
 * What a leg to a number costs; the call is refused where its tenant, or the extension that calls, may not call it.
 *
 * @param number in normal form
 * @returns undefined for an emergency number
 */
export async function legRate(number: string, options: LegRateOptions): Promise<Rate | undefined> {
  const { tenant, catalog, refuse } = options
  if (isEmergencyLeg(number, options)) return undefined
  const why = whyBarred(number, options)
  if (why !== undefined) return refuse('OUTGOING_CALL_BARRED', why)
  return catalog.rate(tenant.id, number) ?? unrated
}
