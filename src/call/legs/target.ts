/**
 * What an attempt was at, in one word, as the channel and the journal remember it: `extension:1001`,
 * `extension:1000,1001` (who answers first), `gateway:carrier1`, `gateway:carrier1:84901234567` where that is not the
 * number that was called, `queue:support@default`, or `answered`.
 */

/** No leg at all: the caller is answered here, at a price. */
export const answeredTarget = 'answered'

const extensionPrefix = 'extension:'
/** No extension's number has it (sql/001_directory.sql). */
const separator = ','

export function extensionTarget(numbers: readonly string[]): string {
  return extensionPrefix + numbers.join(separator)
}

/** @param number undefined: the one that was called */
export function gatewayTarget(gateway: string, number?: string): string {
  return `gateway:${gateway}${number === undefined ? '' : `:${number}`}`
}

export function queueTarget(name: string): string {
  return `queue:${name}`
}

/** The extensions that were rung; none for another target. */
export function extensionsOf(target: string): readonly string[] {
  return target.startsWith(extensionPrefix) ? target.slice(extensionPrefix.length).split(separator) : []
}

/** Whether who has the call is only known when somebody has it. */
export function mayBeTakenBySeveral(target: string): boolean {
  return target.startsWith('queue:') || extensionsOf(target).length > 1
}
