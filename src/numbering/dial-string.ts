import { UnsafeArgument } from '../esl/errors.js'
import type { PresentedCaller } from './caller-id.js'

/**
 * What `bridge` dials. Built here and nowhere else, from checked parts: a number or a name with a
 * character of the dial string's own syntax (`{}[]<>,|:;'"$`, a blank, CR, LF) is refused.
 *
 * FreeSWITCH takes it apart (`switch_ivr_originate`) at `:_:`, then the braces at their commas outside quotes, then
 * the rest at `|`, which takes all quotes off, at the commas outside brackets, and the brackets at each comma. So a
 * value with a comma stands in braces, in quotes.
 */
export type DialString = string & { readonly __brand: 'DialString' }

/** Of a called leg: whose it is and what it costs, whatever becomes of its caller's. */
export const legVariable = 'linger_leg'

export interface DialOptions extends PresentedCaller {
  /** Presented to the far end; left to FreeSWITCH (the caller's own) when it is not presentable. */
  readonly callerNumber: string
  readonly ringSeconds: number
  /** Without a sign of the far end (180, 183) so long after it was dialled, it is given up: PROGRESS_TIMEOUT. */
  readonly progressSeconds?: number
  /** Hung up this long after its own answer, even with every server dead (recording bridge-leg-timer). */
  readonly maxSeconds: number
  /** What the leg says of itself when it is over, as its variable `legVariable`: base64url. */
  readonly legState?: string
  /** The caller hears no ringing of the far end, and talks only when it has answered. */
  readonly ignoreEarlyMedia?: boolean
  /** What the far end is offered and nothing else: `PCMA`, `opus@48000h@20i`. Empty: as the SIP profile has it. */
  readonly codecs?: readonly string[]
  /** What the caller hears while the called party holds: a file, `local_stream://moh`, `tone_stream://…`, `silence`. */
  readonly holdMusic?: string
}

/** As sql/001_directory.sql has it. */
const gatewayName = /^[0-9A-Za-z._-]{1,64}$/
/** A gateway's prefix may have `*` and `#` before the number's own digits (sql/012_gateways.sql). */
const dialledNumber = /^\+?[0-9*#]{0,16}[0-9]{2,36}$/
const extensionNumber = /^[A-Za-z0-9][A-Za-z0-9_.*#+-]{0,62}$/
const domainName = /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/
const plainUuid = /^[0-9a-f-]{36}$/
const base64url = /^[A-Za-z0-9_-]{1,4096}$/
const presentable = /^\+?[0-9A-Za-z_.*#-]{1,64}$/
/** It stands in quotes, so that it may have blanks. */
const presentableName = /^[\p{L}\p{M}\p{N}._-]+(?: [\p{L}\p{M}\p{N}._-]+)*$/u
const longestName = 64
const codec = /^[A-Za-z0-9][A-Za-z0-9.-]{0,31}(?:@[0-9]{1,7}[hibc]){0,4}$/
const callerIdHeader = /^(?:rpid|pid|none)$/
/** As src/channel/prompt.ts has files and tones, and a stream of the switch's own (mod_local_stream). */
const music =
  /^(?!.*\.\.)(?:\/?[A-Za-z0-9_][A-Za-z0-9_./-]{0,300}|(?:local|silence)_stream:\/\/[A-Za-z0-9_./,-]{1,100}|tone_stream:\/\/[A-Za-z0-9%(),;.=*+_-]{1,200})$/
/** FreeSWITCH's MAX_PEERS. */
const mostEndpoints = 128

/** @param number as the gateway is to dial it; @throws UnsafeArgument */
export function gatewayDialString(gateway: string, number: string, options: DialOptions): DialString {
  return dialString(
    [
      `sofia/gateway/${checked(gatewayName, gateway, 'gateway name')}/${checked(dialledNumber, number, 'number to dial')}`,
    ],
    options,
  )
}

/**
 * @param extensions several ring at once, 128 at most, and who answers first has the call; each leg says the same of
 *   itself and has a timer of its own
 * @param domain without it FreeSWITCH takes its default domain; @throws UnsafeArgument
 */
export function extensionDialString(
  extensions: readonly string[],
  domain: string | undefined,
  options: DialOptions,
): DialString {
  const at = domain === undefined ? '' : `@${checked(domainName, domain, 'domain')}`
  return dialString(
    extensions.map((extension) => `user/${checked(extensionNumber, extension, 'extension')}${at}`),
    options,
  )
}

export interface ListenerOptions {
  /** Of the channel that is made. */
  readonly uuid: string
  /** Presented to the phone; left to FreeSWITCH when it is not presentable. */
  readonly callerNumber: string
  readonly ringSeconds: number
  /** By whom the listener is heard besides: the leg that is listened to, and whom that one talks to. */
  readonly isHeardBy: { readonly leg: boolean; readonly partner: boolean }
}

/**
 * A phone that is to listen in, for `originate … &eavesdrop(UUID)`: a single word, so without quotes. The leg is no
 * call's, and has nothing of one on it; its digits change nothing, or who may only listen could speak (mod_dptools,
 * eavesdrop). To whisper to its A leg is, there, to speak into what the leg that is listened to says: its partner hears it,
 * and to its B leg, into what that one hears. @throws UnsafeArgument
 */
export function listenerDialString(
  extension: string,
  domain: string | undefined,
  { uuid, callerNumber, ringSeconds, isHeardBy }: ListenerOptions,
): DialString {
  const at = domain === undefined ? '' : `@${checked(domainName, domain, 'domain')}`
  const variables = [
    `origination_uuid=${checked(plainUuid, uuid, 'uuid')}`,
    `originate_timeout=${seconds(ringSeconds)}`,
    ...callerId({ callerNumber }),
    'eavesdrop_enable_dtmf=false',
    'eavesdrop_bridge_aleg=true',
    'eavesdrop_bridge_bleg=true',
    `eavesdrop_whisper_aleg=${isHeardBy.partner}`,
    `eavesdrop_whisper_bleg=${isHeardBy.leg}`,
  ]
  const phone = `user/${checked(extensionNumber, extension, 'extension')}${at}`
  return `{${variables.join(',')}}${phone}` as DialString
}

/** Whether a gateway can dial it. */
export function isDiallable(number: string): boolean {
  return dialledNumber.test(number)
}

/** Whether text from the wire may be the domain of a dial string. */
export function isDomain(text: string): boolean {
  return domainName.test(text)
}

function dialString(endpoints: readonly string[], options: DialOptions): DialString {
  if (endpoints.length === 0 || endpoints.length > mostEndpoints)
    throw new UnsafeArgument(`${endpoints.length} parties cannot be dialled at once`)
  const { ringSeconds, progressSeconds, maxSeconds, legState } = options
  const globals = [
    `originate_timeout=${seconds(ringSeconds)}`,
    ...(progressSeconds === undefined ? [] : [`progress_timeout=${seconds(progressSeconds)}`]),
    ...callerId(options),
    ...(options.ignoreEarlyMedia ? ['ignore_early_media=true'] : []),
    ...(options.holdMusic === undefined
      ? []
      : [`hold_music='${checked(music, options.holdMusic, 'music on hold')}'`]),
  ]
  const own = [
    ...(legState === undefined ? [] : [`${legVariable}=${checked(base64url, legState, 'state of a leg')}`]),
    ...codecs(options.codecs ?? []),
    `execute_on_answer='sched_hangup +${seconds(maxSeconds)} ALLOTTED_TIMEOUT'`,
  ]
  const legs = endpoints.map((endpoint) => `[${own.join(',')}]${endpoint}`)
  return `{${globals.join(',')}}${legs.join(',')}` as DialString
}

/**
 * FreeSWITCH's `origination_privacy` becomes `Privacy: id` or `privacy=full`, by the header that `sip_cid_type`
 * names. Neither touches From, which is why who is not to be seen is not named in there either.
 */
function callerId({
  callerNumber,
  callerName,
  isAnonymous,
  callerIdHeader: header,
}: PresentedCaller): string[] {
  const variables: string[] = []
  if (presentable.test(callerNumber)) variables.push(`origination_caller_id_number=${callerNumber}`)
  if (callerName !== undefined && callerName.length <= longestName && presentableName.test(callerName))
    variables.push(`origination_caller_id_name='${callerName}'`)
  if (isAnonymous) variables.push('origination_privacy=screen+hide_name+hide_number')
  if (header !== undefined)
    variables.push(`sip_cid_type=${checked(callerIdHeader, header, 'caller id header')}`)
  return variables
}

/** With a separator of its own, `^^:PCMA:PCMU`, as FreeSWITCH documents it for a leg's variables; it stays there until the list is read. */
function codecs(names: readonly string[]): string[] {
  const list = names.map((name) => checked(codec, name, 'codec'))
  if (list.length === 0) return []
  return [`absolute_codec_string=${list.length === 1 ? '' : '^^:'}${list.join(':')}`]
}

function checked(pattern: RegExp, text: string, what: string): string {
  if (!pattern.test(text)) throw new UnsafeArgument(`not a ${what}: ${JSON.stringify(text.slice(0, 80))}`)
  return text
}

function seconds(value: number): string {
  if (!Number.isSafeInteger(value) || value < 1) throw new UnsafeArgument(`not a number of seconds: ${value}`)
  return String(value)
}
