import type { Logger } from 'pino'
import type { BridgeResult, Channel } from '../channel/channel.js'
import type { Extension, Gateway, Tenant } from '../store/catalog.js'

/**
 * What a route can see of a call and do with it. The session stands behind it; a route never imports it.
 * Every verb rejects with CallerGone when the caller hangs up: a route lets that pass.
 */
export interface Call {
  readonly uuid: string
  readonly tenant: Tenant
  readonly direction: 'inbound' | 'outbound' | 'internal'
  /** Normal form. */
  readonly caller: string
  readonly called: string
  readonly calledExtension: Extension | undefined
  readonly isVip: boolean
  readonly channel: Channel
  readonly log: Logger

  /** The tenant's gateways for the called number, in the order in which they are to be tried. */
  gateways(): readonly Gateway[]
  /** Rings an extension of the tenant. */
  ringExtension(extension: Extension): Promise<BridgeResult>
  /** Authorises and dials one gateway leg; refuses the call when it has no rate. */
  dialGateway(gateway: Gateway): Promise<BridgeResult>
  /** Ends the call. @param cause a FreeSWITCH hangup cause, `USER_BUSY` */
  hangup(cause: string): Promise<void>
  /** Ends the call without serving it. @param why goes to the CDR and the log */
  refuse(cause: string, why: string): Promise<never>
}

/** One thing that a caller can reach. When `run` returns and the caller is still there, the call is hung up. */
export interface Route {
  readonly name: string
  run(call: Call): Promise<void>
}
