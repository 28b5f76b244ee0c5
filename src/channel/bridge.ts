import * as command from '../esl/command.js'
import type { Command } from '../esl/command.js'
import type { Event } from '../esl/event.js'
import type { DialString } from '../numbering/dial-string.js'
import type { Line } from './line.js'
import { multisetArgument, stateVariable } from './variables.js'

/** How a bridge ended. */
export interface BridgeResult {
  /** The two talked. */
  readonly isConnected: boolean
  /** Why it failed (`USER_BUSY`), or why the far end hung up after the talk. */
  readonly cause: string
  /** Of a cause that says too little: the SIP status that it was made of, 403 or 603, 408 or 504. */
  readonly sipStatus?: number
}

/** See `Channel.bridge`. */
export async function bridge(
  line: Line,
  to: DialString,
  variables: Readonly<Record<string, string>>,
  state: string | undefined,
): Promise<BridgeResult> {
  const first: Command[] = []
  if (state !== undefined) first.push(line.set(stateVariable, state))
  if (Object.keys(variables).length > 0) first.push(command.execute('multiset', multisetArgument(variables)))
  const complete = await line.execute('bridge', to, first)
  const disposition = causeIn(complete, 'variable_originate_disposition')
  const isConnected = disposition === 'SUCCESS'
  const hangup =
    causeIn(complete, 'variable_last_bridge_hangup_cause') ??
    causeIn(complete, 'variable_bridge_hangup_cause')
  const cause = isConnected
    ? (hangup ?? 'NORMAL_CLEARING')
    : (disposition ?? hangup ?? 'NORMAL_TEMPORARY_FAILURE')
  return { isConnected, cause, ...(!isConnected && sipStatusIn(complete, cause)) }
}

const vague: ReadonlySet<string> = new Set(['CALL_REJECTED', 'RECOVERY_ON_TIMER_EXPIRE'])

/** @param cause of a leg that was not answered */
export function sipStatusIn(event: Event, cause: string): { readonly sipStatus?: number } {
  const status = Number(event.peek('variable_sip_invite_failure_status'))
  return vague.has(cause) && status >= 300 && status < 700 ? { sipStatus: status } : {}
}

/** A dial string that never became a leg leaves `failure` there, which is no cause to hang up with. */
export function causeIn(event: Event, variable: string): string | undefined {
  const cause = event.peek(variable)
  return cause !== undefined && /^[A-Z0-9_]+$/.test(cause) ? cause : undefined
}
