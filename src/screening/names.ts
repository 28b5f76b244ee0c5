/** Redis names that other programs read and write too. Changing one breaks them. */

/** `phone:blacklist:{number}` = "1", with a TTL. */
export const blacklistKeys = 'phone:blacklist:'
/** `phone:blacklist:prefix:{digits}`: every caller whose number begins with these digits. */
export const prefixTag = 'prefix:'
/** `phone:blacklist:anonymous`: every caller who hides the number. */
export const anonymousTag = 'anonymous'
/** A set of numbers, without a TTL. */
export const vipSet = 'phone:vip'

const dialable = /^\+?([0-9]{1,32})$/

/** Every prefix of a number's digits, shortest first; none of what is no number. */
export function prefixesOf(number: string): string[] {
  const digits = dialable.exec(number)?.[1] ?? ''
  const prefixes: string[] = []
  for (let length = 1; length <= digits.length; length++) prefixes.push(digits.slice(0, length))
  return prefixes
}
