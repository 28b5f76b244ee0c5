import type { Logger } from 'pino'
import type { Credit } from '../billing/credit.js'
import type { CallLimits } from '../billing/limits.js'
import type { CallEvents } from '../events/call-events.js'
import type { DialplanEvents } from '../events/dialplan-events.js'
import type { Journal } from '../journal/journal.js'
import type { Routes } from '../routes/registry.js'
import type { Country } from '../numbering/normal-form.js'
import type { Screening } from '../screening/screen.js'
import type { CallRecord } from '../store/call-record.js'
import type { Catalog } from '../store/catalog.js'
import type { GatewayAccess } from './gateways/gateway-access.js'
import type { GatewayPlaces } from './gateways/gateway-places.js'
import type { LegDocument } from './legs/leg-document.js'
import type { LiveCalls } from './live.js'
import type { Recordings } from './recording/recording.js'

export interface SessionDependencies {
  /** The name of this node. */
  readonly node: string
  readonly catalog: Catalog
  readonly routes: Routes
  readonly screening: Screening
  /** Of tenants. */
  readonly limits: CallLimits
  readonly gateways: GatewayAccess
  readonly places: GatewayPlaces
  readonly credit: Credit
  readonly journal: Journal
  readonly events: CallEvents
  readonly dialplanEvents: DialplanEvents
  readonly live: LiveCalls
  readonly log: Logger
  readonly trustedProfiles: ReadonlySet<string>
  readonly defaultCountry: Country
  /** How long after the end of the conversation the final event is awaited, in ms. */
  readonly finalEventMs: number
  /** Undefined: nothing is recorded. */
  readonly recordings: Recordings | undefined
  /** What is known of calls beside their own sockets. */
  readonly elsewhere: Elsewhere
}

/** Where a call is seen when not over its own socket: the links, and whoever closes the calls of dead servers. */
export interface Elsewhere {
  /** Whether each leg's end is told by a link to the switch. @param name FreeSWITCH's own */
  hears(switchName: string | undefined): boolean
  /** Whether a link leads to a switch, up or not. */
  isLinked(switchName: string | undefined): boolean
  /** Whether the switch still has a leg; undefined: nobody can say. */
  has(switchName: string | undefined, legUuid: string): Promise<boolean | undefined>
  /** When a switch was heard last, in µs by its clock; 0: it is not. */
  heardAt(switchName: string | undefined): number
  /** A leg that costs something talks on, and its session does not see to it any more: it is metered over a link. */
  lookAfter(switchName: string | undefined, legUuid: string): void
  /** What was told of a call's legs before it had its session here. */
  told(callUuid: string): readonly LegDocument[]
  /** This node has the call now, and had it not before. */
  taken(callUuid: string, maxSeconds: number): void
  /** The call's record is durable here. */
  recorded(record: CallRecord): void
  /** The session ends without a record: the journal has the call open. */
  lost(callUuid: string, how: { readonly mayTalkForMs: number; readonly isOver: boolean }): void
}
