import * as command from '../esl/command.js'
import type { Command } from '../esl/command.js'
import { UnsafeArgument } from '../esl/errors.js'
import type { Line } from './line.js'
import { stateVariable } from './variables.js'

/** An extension of a dialplan, as `uuid_transfer` takes it: one that begins with `-` is an option there. */
export const extensionPattern = /^[0-9A-Za-z_.*#+][0-9A-Za-z_.*#+-]{0,63}$/
/** A context of a dialplan. */
export const contextPattern = /^[0-9A-Za-z_.][0-9A-Za-z_.-]{0,63}$/

/**
 * See `Channel.giveBack`. The variables are set by an API command, which is done when `exit` is read: an application
 * would only be queued, and end after the socket does (recording give-back).
 */
export async function giveBack(
  line: Line,
  variables: Readonly<Record<string, string>>,
  state: string | undefined,
): Promise<void> {
  await line.sendInTurn([
    ...Object.entries(variables).map(([name, value]) => line.set(name, value === '' ? undefined : value)),
    ...(state === undefined ? [] : [line.set(stateVariable, state)]),
    command.exit(),
  ])
}

/** @throws UnsafeArgument for what no transfer takes */
export function checkTarget(destination: string, context?: string): void {
  if (!extensionPattern.test(destination))
    throw new UnsafeArgument(`no destination: ${JSON.stringify(destination.slice(0, 80))}`)
  if (context !== undefined && !contextPattern.test(context))
    throw new UnsafeArgument(`no context: ${JSON.stringify(context.slice(0, 80))}`)
}

/** See `Channel.transfer`. */
export async function transfer(line: Line, destination: string, context?: string): Promise<void> {
  await line.sendInTurn([transferCommand(line.uuid, destination, context)])
}

/**
 * Never `inline`, which would run any application (recording blind-transfer).
 * @throws UnsafeArgument for what no transfer takes
 */
export function transferCommand(uuid: string, destination: string, context?: string): Command {
  checkTarget(destination, context)
  const words = context === undefined ? [] : [context]
  return command.api('uuid_transfer', [uuid, destination, 'XML', ...words])
}
