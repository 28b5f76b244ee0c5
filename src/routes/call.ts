import type { Logger } from 'pino'
import type { BridgeResult } from '../channel/channel.js'
import type { Collected, CollectOptions } from '../channel/collect.js'
import type { Variables } from '../events/dialplan-event.js'
import type { Direction } from '../numbering/direction.js'
import type { Extension, Gateway, Tenant } from '../store/catalog.js'
import type { Hours, Menu, Sound, Step } from '../store/flow.js'

/**
 * What a route can see of a call and do with it. The session stands behind it; a route never imports it.
 * Every verb rejects with CallerGone when the caller hangs up: a route lets that pass.
 *
 * A call that is taken over after a crash runs its route anew, from the beginning: what was dialled before is answered
 * from what became of it, and what went through `once` has its value of then.
 */
export interface Call {
  readonly uuid: string
  /** @throws Error for a call of none, which only a route with `needsTenant: false` sees */
  readonly tenant: Tenant
  readonly direction: Direction
  /** Normal form. */
  readonly caller: string
  readonly called: string
  /** ANI as it came; empty when there is none. */
  readonly callerNumber: string
  readonly calledExtension: Extension | undefined
  readonly isVip: boolean
  readonly isBlacklisted: boolean
  readonly log: Logger

  /** A variable of the channel: one that the call's route names, as it was when it came here; another, as it is. */
  variable(name: string): Promise<string | undefined>
  /** One of the tenant's extensions. */
  extension(number: string): Extension | undefined
  /** As the call began with it, or entered it before it was taken over; undefined: there is none. */
  menu(id: string): Promise<Menu | undefined>
  hours(id: string): Hours | undefined

  /** Looks the caller up in the blacklist and the VIP list, for a route that the session has not done it for. */
  screen(): Promise<void>
  /** Answers the caller, if nobody has; at the tenant's inbound tariff for the called number, where there is one. */
  answer(): Promise<void>
  /**
   * A sound that is not there is logged, and the next one is played.
   * @throws UnsafeArgument for what is no sound
   */
  play(...sounds: Sound[]): Promise<void>
  /** @throws UnsafeArgument for what is no sound */
  collect(options: CollectWishes): Promise<Collected>
  /** Sets variables of the channel. */
  set(variables: Readonly<Record<string, string>>): Promise<void>

  /** The tenant's gateways for a number in normal form, in the order in which they are to be tried. */
  gateways(number?: string): readonly Gateway[]
  /** Rings extensions of the tenant, all at once; who answers first has the call. */
  ring(extensions: readonly Extension[], options?: RingOptions): Promise<BridgeResult>
  /**
   * Authorises and dials one gateway leg; refuses the call when it has no rate. One that is full, or rests after
   * failures, is passed over, unless the call is an emergency; so is one that cannot be told the number.
   * @param number in normal form; without it the called one
   */
  dialGateway(gateway: Gateway, number?: string, options?: GatewayDialOptions): Promise<GatewayResult>
  /** Waits in a queue of mod_callcenter for an agent, and talks to one. */
  queue(name: string, options?: QueueOptions): Promise<QueueResult>
  /** From here on the call is recorded, whatever the tenant's rules say; `false`: it is not. */
  record(isRecorded: boolean): void

  /** Goes on with another route. Bounded: a call that goes round in circles is refused. */
  go(step: Step): Promise<void>
  /**
   * What shall not happen, or not come out differently, a second time when the call is taken over.
   * @param name the same at each run; @param happen its value must survive JSON
   */
  once<T extends string | number | boolean>(name: string, happen: () => T | Promise<T>): Promise<T>

  /** Ends the call. @param cause a FreeSWITCH hangup cause, `USER_BUSY` */
  hangup(cause: string): Promise<void>
  /** Ends the call without serving it. @param why goes to the CDR and the log */
  refuse(cause: string, why: string): Promise<never>
  /**
   * Gives the call back to the next action of its dialplan: this server has no more to do with it, unless it comes
   * back. Nothing more can be done with it here.
   * @param variables of its channel, set before
   */
  giveBack(variables?: Readonly<Record<string, string>>): Promise<never>
  /** Has the call run a dialplan of the switch. It may come back from there. */
  transfer(to: TransferTarget): Promise<never>
  /** Publishes an event of the call's own making, as the route `event` does. What cannot be published is logged. */
  publish(event: PublishedEvent): Promise<void>
}

/** What is collected, with the sounds still to be checked. */
export interface CollectWishes extends Omit<CollectOptions, 'prompt' | 'invalidPrompt' | 'noInputPrompt'> {
  readonly prompt: readonly Sound[]
  readonly invalidPrompt?: readonly Sound[]
  readonly noInputPrompt?: readonly Sound[]
}

export interface GatewayDialOptions {
  /** Dialled though it rests: there is no other. */
  readonly evenIfResting?: boolean
}

export interface GatewayResult extends BridgeResult {
  /** Why nothing was dialled; undefined: it was. */
  readonly passedOver?: PassedOver
}

/**
 * - `resting`: it has failed too often lately;
 * - `full`: it has as many calls as it may;
 * - `unsuited`: nothing that could be dialled is left of the number by the gateway's rules.
 */
export type PassedOver = 'resting' | 'full' | 'unsuited'

export interface RingOptions {
  /** Default: the tenant's. */
  readonly ringSeconds?: number
}

export interface QueueOptions {
  /** Plays while the caller waits; without it, what mod_callcenter has for the queue. */
  readonly music?: Sound
}

export interface QueueResult {
  readonly isConnected: boolean
  /** `answered`, or why the caller left the queue: mod_callcenter's `cc_cancel_reason` (`TIMEOUT`, `NO_AGENT_TIMEOUT`, `BREAK_OUT`, `EXIT_WITH_KEY`), `failed` when there is no such queue. */
  readonly why: string
}

export interface TransferTarget {
  readonly destination: string
  /** Without it the one that the call has. */
  readonly context?: string
}

/**
 * The event, by the names of the variables that the route `event` reads. CALL_STATUS must be there; without CALL_ID it
 * is about this channel's call, without CUSTOMER_ID for its tenant.
 */
export type PublishedEvent = Variables

export type Arguments = Readonly<Record<string, unknown>>
