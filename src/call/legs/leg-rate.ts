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
 * What a leg to a number costs; the call is refused where its tenant, or the extension that calls, may not call it.
 *
 * @param number in normal form
 * @returns undefined for an emergency number
 */
export async function legRate(number: string, options: LegRateOptions): Promise<Rate | undefined> {
  const { tenant, identity, catalog, refuse } = options
  if (isEmergencyLeg(number, options)) return undefined
  if (catalog.isBlocked(tenant.id, number))
    return refuse('OUTGOING_CALL_BARRED', 'the tenant blocks this destination')
  const { transferor, direction } = identity
  if (transferor !== undefined && transferor.extension === undefined && direction === 'outbound')
    return refuse(
      'OUTGOING_CALL_BARRED',
      'only an extension may transfer a call to the outside, and none is known to have done it',
    )
  const tollAllow = (transferor?.extension ?? identity.callerExtension)?.tollAllow
  if (tollAllow !== undefined) {
    const kind = numberClass(number, tenant)
    if (!isTollAllowed(kind, tollAllow))
      return refuse('OUTGOING_CALL_BARRED', `the extension may not call ${kind} numbers (toll_allow)`)
  }
  const rate = catalog.rate(tenant.id, number) ?? (tenant.allowsUnrated ? unrated : undefined)
  return rate ?? refuse('OUTGOING_CALL_BARRED', 'the destination has no rate')
}
