import { formatMoney, parseMoney } from '../billing/money.js'
import { rateFromSnapshot, rateSnapshot } from '../billing/rate-snapshot.js'
import { stateVariable } from '../channel/channel.js'
import type { Event } from '../esl/event.js'
import type { Direction } from '../numbering/direction.js'
import { legVariable } from '../numbering/dial-string.js'
import { announcedFromJson, announcedJson, type Announced } from './announced.js'
import type { Attempt, Leg, Taker } from './legs/legs.js'
import type { TakenStep } from './progress.js'
import type { PlannedRecording } from './recording/recording.js'

/**
 * What a call must remember on the channel itself, as `linger_call`: whoever gets it next, after a crash or a
 * transfer, goes on from there. Written before it is needed, so that at no moment the switch has a leg of which
 * nobody would know what it costs.
 */
export interface CallState {
  /** The node that wrote it. */
  readonly node: string
  /** How many nodes had it before that one. */
  readonly takeovers: number
  readonly tenant: string
  readonly direction: Direction
  /** Normal form. */
  readonly caller: string
  readonly called: string
  /** What the channel was for, as it came: if that has changed, the call was transferred. */
  readonly destination: string
  readonly route: string
  /** The extension that transferred it to there; '': somebody did who is not known to be one. */
  readonly transferredBy?: string
  /** With which its route began. */
  readonly args: Readonly<Record<string, unknown>>
  readonly isVip: boolean
  readonly isBlacklisted?: true
  /** µs, by the switch's clock. */
  readonly startedAt: number
  /** The leg that the channel talked to last before it was a call of ours: none of the call's. */
  readonly bridgedBefore?: string
  /** Those that talked and are over, and the caller's own, if it costs something. */
  readonly legs: readonly Leg[]
  /** How earlier attempts of the route ended, so that it need not make them again. */
  readonly results: readonly AttemptResult[]
  /** What else the route was told, so that it comes to the same place again. */
  readonly steps: readonly TakenStep[]
  /** Its last server gave it back to its dialplan, on purpose: nobody has taken it over. */
  readonly isGivenBack: boolean
  /** Its last server has transferred it to another dialplan, on purpose. */
  readonly isTransferred?: true
  /** How often servers have done that; 0 when absent. */
  readonly transfers?: number
  readonly recording?: PlannedRecording
  /** As an admin wants it; undefined: as its routes and its tenant's rules say. */
  readonly adminRecords?: boolean
  /** Undefined: nothing was told of it yet. */
  readonly announced?: Announced
  /** What is dialled, or talks, or is over by now: the channel tells. */
  readonly attempt: Attempt | undefined
}

export interface AttemptResult {
  readonly target: string
  readonly isConnected: boolean
  readonly cause: string
  /** As in BridgeResult. */
  readonly sipStatus?: number
}

/** What a called leg carries itself, as `linger_leg`: its own CDR says what it costs, whatever becomes of its caller's. */
export interface LegState {
  readonly callUuid: string
  readonly tenant: string
  readonly attempt: Attempt
  /** The extension that called it; undefined: a caller from outside. */
  readonly extension?: string | undefined
  /** How long after its answer it hangs up by itself, in ms; undefined: an older release dialled it. */
  readonly grantedMs?: number
}

/** Versions of both texts; another one is somebody else's release: the call is known, its state is not. */
const version = 1

export function encodeCallState(state: CallState): string {
  const { legs, attempt, args, steps, isGivenBack, announced, ...plain } = state
  return encode({
    ...plain,
    ...(Object.keys(args).length > 0 && { args }),
    ...(steps.length > 0 && { steps: steps.map(({ name, value }) => [name, value]) }),
    ...(isGivenBack && { isGivenBack }),
    ...(announced && { announced: announcedJson(announced) }),
    legs: legs.map(legJson),
    attempt: attempt && attemptJson(attempt),
  })
}

/** @returns undefined when it is not a state that this release can read */
export function decodeCallState(text: string | undefined): CallState | undefined {
  return decode(text, (json) => ({
    node: string(json.node),
    takeovers: number(json.takeovers),
    tenant: string(json.tenant),
    direction: oneOf(json.direction, 'inbound', 'outbound', 'internal'),
    caller: string(json.caller),
    called: string(json.called),
    destination: string(json.destination),
    route: string(json.route),
    args: json.args === undefined ? {} : object(json.args),
    isVip: json.isVip === true,
    ...(json.isBlacklisted === true && { isBlacklisted: true }),
    startedAt: number(json.startedAt),
    ...(json.transferredBy !== undefined && { transferredBy: string(json.transferredBy) }),
    ...(json.bridgedBefore !== undefined && { bridgedBefore: string(json.bridgedBefore) }),
    legs: list(json.legs, legFromJson),
    results: list(json.results, (result) => ({
      target: string(result.target),
      isConnected: result.isConnected === true,
      cause: string(result.cause),
      ...(result.sipStatus !== undefined && { sipStatus: number(result.sipStatus) }),
    })),
    steps: json.steps === undefined ? [] : steps(json.steps),
    isGivenBack: json.isGivenBack === true,
    ...(json.isTransferred === true && { isTransferred: true }),
    ...(json.transfers !== undefined && { transfers: number(json.transfers) }),
    ...(json.recording !== undefined && { recording: recordingFromJson(json.recording) }),
    ...(typeof json.adminRecords === 'boolean' && { adminRecords: json.adminRecords }),
    ...(json.announced !== undefined && { announced: announcedFromJson(json.announced) }),
    attempt: json.attempt === undefined ? undefined : attemptFromJson(json.attempt),
  }))
}

export function encodeLegState({ attempt, ...plain }: LegState): string {
  return encode({ ...plain, attempt: attemptJson(attempt) })
}

/** @returns undefined when it is not a state that this release can read */
export function decodeLegState(text: string | undefined): LegState | undefined {
  return decode(text, (json) => ({
    callUuid: string(json.callUuid),
    tenant: string(json.tenant),
    attempt: attemptFromJson(json.attempt),
    ...(json.extension !== undefined && { extension: string(json.extension) }),
    ...(json.grantedMs !== undefined && { grantedMs: number(json.grantedMs) }),
  }))
}

/** Whether it comes back from a dialplan that a server gave it to, on purpose: nobody has died, and its route is over. */
export function isHandedOn({ isGivenBack, isTransferred }: CallState): boolean {
  return isGivenBack || isTransferred === true
}

/** What a caller's channel remembers of its call; undefined: nothing, or nothing that this release can read. */
export function callStateOf(channel: Event): CallState | undefined {
  return decodeCallState(channel.peek(`variable_${stateVariable}`))
}

/** What a called leg says of itself; undefined as above. */
export function legStateOf(leg: Event): LegState | undefined {
  return decodeLegState(leg.peek(`variable_${legVariable}`))
}

/** A leg as JSON, for the channel and the journal. */
export function legJson(leg: Leg): Json {
  return { ...leg, attempt: attemptJson(leg.attempt) }
}

/** @throws RangeError when it is none */
export function legFromJson(value: unknown): Leg {
  const json = object(value)
  return {
    uuid: string(json.uuid),
    attempt: attemptFromJson(json.attempt),
    answeredAt: optional(json.answeredAt, number),
    bridgedAt: number(json.bridgedAt),
    endedAt: optional(json.endedAt, number),
    endIsExact: json.endIsExact === true,
    ...(json.hasLeft === true && { hasLeft: true }),
  }
}

/** @throws RangeError when it is none */
function recordingFromJson(value: unknown): PlannedRecording {
  const json = object(value)
  return {
    path: string(json.path),
    isOver: json.isOver === true,
    ...(json.earlier !== undefined && { earlier: texts(json.earlier) }),
  }
}

/** An attempt as JSON, for the channel and the journal. */
export function attemptJson({ id, target, gateway, number, rate, taker }: Attempt): Json {
  const carrierCost = gateway?.carrierCostPerMinute
  return {
    id,
    target,
    number,
    ...(gateway && { gateway: gateway.name }),
    ...(carrierCost !== undefined && { carrierCost: formatMoney(carrierCost) }),
    ...(rate && { rate: rateSnapshot(rate) }),
    ...(taker && { taker }),
  }
}

/** @throws RangeError when it is none */
export function attemptFromJson(value: unknown): Attempt {
  const json = object(value)
  const gateway = optional(json.gateway, string)
  const carrierCost = optional(json.carrierCost, string)
  return {
    id: string(json.id),
    target: string(json.target),
    number: string(json.number),
    gateway:
      gateway === undefined
        ? undefined
        : {
            name: gateway,
            ...(carrierCost !== undefined && { carrierCostPerMinute: parseMoney(carrierCost) }),
          },
    rate: json.rate === undefined ? undefined : rateFromSnapshot(json.rate),
    ...(json.taker !== undefined && { taker: takerFromJson(json.taker) }),
  }
}

function takerFromJson(value: unknown): Taker {
  const json = object(value)
  return { legUuid: string(json.legUuid), extension: string(json.extension) }
}

type Json = Readonly<Record<string, unknown>>

/** base64url: nothing in it ends a command, separates a dial string or is expanded. */
function encode(json: Json): string {
  return Buffer.from(JSON.stringify({ v: version, ...json })).toString('base64url')
}

function decode<T>(text: string | undefined, read: (json: Json) => T): T | undefined {
  // Most calls are new: an error, dear for its stack, is not for them.
  if (text === undefined || text === '') return undefined
  try {
    const json = object(JSON.parse(Buffer.from(text, 'base64url').toString()))
    return json.v === version ? read(json) : undefined
  } catch {
    // The dialplan may have written there too.
    return undefined
  }
}

function object(value: unknown): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new RangeError('no object where one is expected')
  return value as Json
}

function steps(value: unknown): TakenStep[] {
  if (!Array.isArray(value)) throw new RangeError('no list where one is expected')
  return value.map((step: unknown) => {
    const [name, value] = Array.isArray(step) ? (step as unknown[]) : []
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean')
      throw new RangeError('no step where one is expected')
    return { name: string(name), value }
  })
}

function list<T>(value: unknown, read: (item: Json) => T): T[] {
  if (!Array.isArray(value)) throw new RangeError('no list where one is expected')
  return value.map((item) => read(object(item)))
}

function texts(value: unknown): string[] {
  if (!Array.isArray(value)) throw new RangeError('no list where one is expected')
  return value.map(string)
}

function string(value: unknown): string {
  if (typeof value !== 'string') throw new RangeError('no text where one is expected')
  return value
}

function number(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value))
    throw new RangeError('no whole number where one is expected')
  return value
}

function optional<T>(value: unknown, read: (value: unknown) => T): T | undefined {
  return value === undefined ? undefined : read(value)
}

function oneOf<T extends string>(value: unknown, ...allowed: T[]): T {
  const found = allowed.find((each) => each === value)
  if (found === undefined) throw new RangeError(`none of ${allowed.join(', ')}`)
  return found
}
