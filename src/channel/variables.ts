import * as command from '../esl/command.js'
import type { Command } from '../esl/command.js'
import { UnsafeArgument } from '../esl/errors.js'

/** Variables of the caller's channel: what its call must remember, whoever serves it. */
export const stateVariable = 'linger_call'
export const timersVariable = 'linger_timers'
/** Between the names in there. */
export const timerSeparator = '+'

const variableName = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/

function checkedName(name: string): string {
  if (!variableName.test(name)) throw new UnsafeArgument(`no variable name: ${JSON.stringify(name)}`)
  return name
}

/**
 * Sets a variable at once, whatever runs on the channel; interrupts nothing, and is not expanded (recording
 * while-bridged).
 * @param value a single token; without it the variable is unset
 */
export function setVariable(uuid: string, name: string, value?: string): Command {
  const words = value === undefined ? [] : [value]
  return command.api('uuid_setvar', [uuid, checkedName(name), ...words])
}

/** `^^:a=1:b=2`, so that a value may hold a comma; a value that holds the separator is refused. */
export function multisetArgument(variables: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(variables).map(([name, value]) => {
    checkedName(name)
    if (value.includes(':')) throw new UnsafeArgument(`':' would split the value of ${name}`)
    return `${name}=${value}`
  })
  return `^^:${pairs.join(':')}`
}
