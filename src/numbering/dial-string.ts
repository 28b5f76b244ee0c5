import { UnsafeArgument } from '../esl/errors.js'

/**
 * What `bridge` dials. Built here and nowhere else, from checked parts: a number or a name with a
 * character of the dial string's own syntax (`{}[]<>,|:;'"$`, a blank, CR, LF) is refused.
 */
export type DialString = string & { readonly __brand: 'DialString' }

/** Of a called leg: whose it is and what it costs, whatever becomes of its caller's. */
export const legVariable = 'linger_leg'

export interface DialOptions {
  /** Presented to the far end; left to FreeSWITCH (the caller's own) when it is not presentable. */
  readonly callerNumber: string
  readonly ringSeconds: number
  /** Hung up this long after its own answer, even with every server dead (recording bridge-leg-timer). */
  readonly maxSeconds: number
  /** What the leg says of itself when it is over, as its variable `legVariable`: base64url. */
  readonly legState?: string
  /** The caller hears no ringing of the far end, and talks only when it has answered. */
  readonly ignoreEarlyMedia?: boolean
}

const gatewayName = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/
const dialledNumber = /^[0-9]{2,32}$/
const extensionNumber = /^[A-Za-z0-9][A-Za-z0-9_.*#+-]{0,62}$/
const domainName = /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/
const base64url = /^[A-Za-z0-9_-]{1,4096}$/
const presentable = /^\+?[0-9A-Za-z_.*#-]{1,64}$/

/** @param number digits, as the gateway is to dial them; @throws UnsafeArgument */
export function gatewayDialString(gateway: string, number: string, options: DialOptions): DialString {
  return dialString(
    `sofia/gateway/${checked(gatewayName, gateway, 'gateway name')}/${checked(dialledNumber, number, 'number to dial')}`,
    options,
  )
}

/** @param domain without it FreeSWITCH takes its default domain; @throws UnsafeArgument */
export function extensionDialString(
  extension: string,
  domain: string | undefined,
  options: DialOptions,
): DialString {
  const user = checked(extensionNumber, extension, 'extension')
  return dialString(
    `user/${user}${domain === undefined ? '' : '@' + checked(domainName, domain, 'domain')}`,
    options,
  )
}

/** Whether text from the wire may be the domain of a dial string. */
export function isDomain(text: string): boolean {
  return domainName.test(text)
}

function dialString(endpoint: string, options: DialOptions): DialString {
  const { callerNumber, ringSeconds, maxSeconds } = options
  const variables = [`originate_timeout=${seconds(ringSeconds)}`]
  if (presentable.test(callerNumber)) variables.push(`origination_caller_id_number=${callerNumber}`)
  if (options.ignoreEarlyMedia) variables.push('ignore_early_media=true')
  const timer = `execute_on_answer='sched_hangup +${seconds(maxSeconds)} ALLOTTED_TIMEOUT'`
  const state =
    options.legState === undefined
      ? ''
      : `${legVariable}=${checked(base64url, options.legState, 'state of a leg')},`
  return `{${variables.join(',')}}[${state}${timer}]${endpoint}` as DialString
}

function checked(pattern: RegExp, text: string, what: string): string {
  if (!pattern.test(text)) throw new UnsafeArgument(`not a ${what}: ${JSON.stringify(text.slice(0, 80))}`)
  return text
}

function seconds(value: number): string {
  if (!Number.isSafeInteger(value) || value < 1) throw new UnsafeArgument(`not a number of seconds: ${value}`)
  return String(value)
}
