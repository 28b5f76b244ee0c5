import type { ChannelFacts } from './facts.js'
import type { Identity } from './identify.js'

/** What the journal keeps of a call in progress: enough to make its record when nobody else can any more. */
export interface OpenRecord {
  readonly facts: ChannelFacts
  /** Null: nobody's call. */
  readonly tenant: string | null
  readonly direction: Identity['direction']
  readonly caller: string
  readonly called: string
}

export function openRecord(facts: ChannelFacts, identity: Identity): OpenRecord {
  const { tenant, direction, caller, called } = identity
  return { facts, tenant: tenant?.id ?? null, direction, caller, called }
}
