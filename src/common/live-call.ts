/** What may be known of calls while they last, and done with them, from outside of their sessions: on any node. */

/**
 * Where a call is:
 * - `starting`: it has only just come, and is not routed yet;
 * - `route`: a route has it that is none of those below;
 * - `menu`, `queued`: it chooses, or waits for an agent;
 * - `ringing`: somebody is dialled for it;
 * - `talking`: it is connected to somebody who has answered;
 * - `handed_on`: its dialplan has it, and its session only waits for its end;
 * - `ending`: it is hung up, and its record is on the way.
 */
export const callStates = [
  'starting',
  'route',
  'menu',
  'queued',
  'ringing',
  'talking',
  'handed_on',
  'ending',
] as const
export type LiveState = (typeof callStates)[number]

/** Moments in µs since 1970, by the switch's clock. */
export interface LiveCallView {
  readonly uuid: string
  /** The server that has its session. */
  readonly node: string
  /** FreeSWITCH's own name. */
  readonly switchName: string | null
  /** Null: nobody's. */
  readonly tenant: string | null
  readonly direction: 'inbound' | 'outbound' | 'internal'
  /** Normal form, and as it came. */
  readonly caller: string
  readonly called: string
  readonly callerRaw: string
  readonly calledRaw: string
  readonly callerName: string
  /** With which it began. */
  readonly route: string | null
  readonly state: LiveState
  readonly startedAt: number
  readonly answeredAt: number | null
  /** When who talks to the caller was connected. */
  readonly bridgedAt: number | null
  /** Whom it talks to, or dials. */
  readonly bLegUuid: string | null
  readonly dialled: string | null
  readonly gateway: string | null
  readonly isVip: boolean
  /** Its talk is recorded now, or will be: where to. */
  readonly recordingPath: string | null
}

export interface CallFilter {
  readonly tenant?: string
  readonly direction?: LiveCallView['direction']
  readonly route?: string
  readonly state?: LiveState
  readonly gateway?: string
  /** As it came, or in normal form. */
  readonly caller?: string
  readonly called?: string
}

/** The latest come first; those that began at one moment by their uuids. */
export interface Place {
  readonly startedAt: number
  readonly uuid: string
}

export interface CallPage {
  readonly items: readonly LiveCallView[]
  /** All that the filter lets through, on all pages. */
  readonly total: number
}

/** Of how many nodes what is said is. */
export interface Nodes {
  /** This one among them; of the others as many as Redis says that there are. */
  readonly asked: number
  readonly answered: number
  /** Why that may not be all, one line; null: it is all. */
  readonly trouble: string | null
}

/** Whom what is done is for: who called, or whom he talks to. */
export type Party = 'caller' | 'called'

export type CallAction =
  | { readonly do: 'hangup'; readonly cause: string }
  | { readonly do: 'transfer'; readonly party: Party; readonly to: string }
  | { readonly do: 'dtmf'; readonly party: Party; readonly digits: string }
  | { readonly do: 'play'; readonly party: Party | 'both'; readonly sound: string }
  | { readonly do: 'record'; readonly on: boolean }
  | { readonly do: 'listen'; readonly extension: string; readonly mode: 'listen' | 'whisper' | 'barge' }

/**
 * Why something is not done:
 * - `gone`: the call is over;
 * - `not_now`: it is not in the state for it;
 * - `failed`: its switch does not do it, or does not answer;
 * - `invalid`: what was asked for cannot be, in whatever state: `field` says which part of it.
 */
export type Refused = 'gone' | 'not_now' | 'failed' | 'invalid'

export type Outcome =
  | {
      readonly done: true
      /** Of a recording. */
      readonly recordingPath?: string | null
      /** The channel of who listens in. */
      readonly listenerUuid?: string
    }
  | { readonly done: false; readonly why: Refused; readonly detail: string; readonly field?: string }

/** How many calls there are, and how many began lately. */
export interface CallCounts {
  readonly calls: number
  readonly byTenant: Readonly<Record<string, number>>
  readonly byRoute: Readonly<Record<string, number>>
  readonly byState: Readonly<Record<string, number>>
  /** Calls that began in each of the last 60 whole seconds, the oldest first. */
  readonly begun: readonly number[]
}

/** The node that has a call cannot be asked, or says nothing: what was to be done may have been done, or not. */
export class CallUnreachable extends Error {
  override readonly name = 'CallUnreachable'
}

/** The calls of all nodes. Nothing of it is kept anywhere: they are asked each time. */
export interface CallsEverywhere {
  list(filter: CallFilter, limit: number, after?: Place): Promise<CallPage & { readonly nodes: Nodes }>
  /** @returns undefined: no node that answers has it */
  find(uuid: string): Promise<{ readonly call: LiveCallView | undefined; readonly nodes: Nodes }>
  /** @param call as it was found; @throws CallUnreachable */
  act(call: Pick<LiveCallView, 'uuid' | 'node'>, action: CallAction): Promise<Outcome>
  /** @param tenant without it, of all */
  counts(tenant?: string): Promise<CallCounts & { readonly nodes: Nodes }>
}
