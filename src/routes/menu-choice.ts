import type { Choice, Menu } from '../store/flow.js'

/** What of a pattern stands for which digits; everything else stands for itself. */
const wildcards: Readonly<Record<string, string>> = { X: '[0-9]', Z: '[1-9]', N: '[2-9]' }

/** `9XX` is any three digits that begin with 9. */
function matches(pattern: string, digits: string): boolean {
  if (pattern.length !== digits.length) return false
  return Array.from(pattern).every((sign, at) => {
    const digit = digits.charAt(at)
    const wildcard = wildcards[sign]
    return wildcard === undefined ? sign === digit : new RegExp(wildcard).test(digit)
  })
}

/** How many digits it leaves open: fewer is narrower. */
function breadth(pattern: string): number {
  return Array.from(pattern).filter((sign) => sign in wildcards).length
}

/** The choice that digits make, the narrowest one; undefined: none. */
export function choiceOf({ choices }: Pick<Menu, 'choices'>, digits: string): Choice | undefined {
  const [found] = Object.entries(choices)
    .filter(([pattern]) => matches(pattern, digits))
    .sort(([one], [other]) => breadth(one) - breadth(other))
  return found?.[1]
}

/** After so many digits nothing longer can be meant. */
export function longestChoice({ choices, directDial }: Pick<Menu, 'choices' | 'directDial'>): number {
  const lengths = Object.keys(choices).map(({ length }) => length)
  return Math.max(1, ...lengths, ...(directDial ? [longestExtension] : []))
}

/** Digits of an extension that can be dialled in a menu. */
const longestExtension = 6
