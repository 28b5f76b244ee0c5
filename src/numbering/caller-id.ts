/** Whom a gateway presents to the called party. */
export interface CallerIdRules {
  /** The caller; always the same number; the tenant's own number, the caller where it has none; or nobody. */
  readonly policy: 'caller' | 'fixed' | 'tenant' | 'anonymous'
  /** Of `fixed`. */
  readonly number?: string
  /** Beside the number, whatever the policy, unless nobody is presented. */
  readonly name?: string
  /** In which header besides From; without it, as the SIP profile has it. */
  readonly header?: CallerIdHeader
}

/** Remote-Party-ID, P-Asserted-Identity, or neither. FreeSWITCH's `sip_cid_type`. */
export type CallerIdHeader = 'rpid' | 'pid' | 'none'

/** What the called party is to see; for a dial string. */
export interface PresentedCaller {
  readonly callerNumber: string
  readonly callerName?: string
  /** The called party shall see nothing of it. */
  readonly isAnonymous?: boolean
  readonly callerIdHeader?: CallerIdHeader
}

export interface Caller {
  /** As it came. */
  readonly number: string
  /** Who answers an emergency call must be able to call back: its caller is never hidden. */
  readonly isEmergency: boolean
}

/** What a tenant presents as its own. */
export interface OwnCallerId {
  readonly callerIdNumber?: string
  readonly callerIdName?: string
}

/** Names that FreeSWITCH and most carriers know for a caller who is not to be seen. */
const nobody = { callerNumber: 'anonymous', callerName: 'Anonymous', isAnonymous: true }

export function presentedCaller(
  { policy, number, name, header }: CallerIdRules,
  caller: Caller,
  own: OwnCallerId,
): PresentedCaller {
  const isHidden = policy === 'anonymous'
  const how = header !== undefined && { callerIdHeader: header }
  if (isHidden && !caller.isEmergency) return { ...nobody, ...how }
  const usesOwn = (policy === 'tenant' || isHidden) && own.callerIdNumber !== undefined
  const callerName = name ?? (usesOwn ? own.callerIdName : undefined)
  return {
    callerNumber: (policy === 'fixed' ? number : usesOwn ? own.callerIdNumber : undefined) ?? caller.number,
    ...(callerName !== undefined && { callerName }),
    ...how,
  }
}
