/** Who ended a leg: its own party, or the switch on behalf of its server, a timer, the dialplan. */
export type HangupParty = 'caller' | 'called' | 'server' | 'switch'

/** What `sendmsg` and some API commands queue for a channel's thread. */
export type Message =
  | { readonly kind: 'hangup'; readonly cause: string }
  | {
      readonly kind: 'execute'
      readonly application: string
      readonly argument: string
      readonly uuid?: string
      readonly loops?: number
      /** `event-lock: true`: nothing else is executed while it runs. */
      readonly isLocked?: boolean
    }

export interface TransferTarget {
  readonly destination: string
  readonly context: string
}
