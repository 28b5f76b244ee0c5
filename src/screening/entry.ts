import { Metadata } from 'libphonenumber-js'
import { normalNumber, normalPrefix, type Country } from '../numbering/normal-form.js'
import { anonymousTag, prefixTag } from './names.js'

/** An entry of a list, whichever way it is spelled. */
export interface Entry {
  kind: 'number' | 'prefix' | 'anonymous'
  /** As it was entered, without visual separators: `0901234567`, `090*`, `anonymous`. */
  entered: string
  /** In normal form: `84901234567`, `8490*`, `anonymous`. Two entries with the same one are the same. */
  normal: string
  /**
   * The names under which this entry may stand in Redis, the normal form first: what follows
   * `phone:blacklist:`, or the member of `phone:vip`.
   */
  tags: readonly [string, ...string[]]
  /** The one of `tags` that was entered. */
  enteredTag: string
}

/** What `parseEntry` takes, for a person who entered something else. */
export const allowedNumber =
  'a number of 1 to 32 digits with an optional leading + (spaces, dots, hyphens and parentheses are ignored)'
export const allowedEntry = `${allowedNumber}, a prefix of 1 to 32 digits that ends in * (8490*), or anonymous`

const separators = /[ .()-]/g
const number = /^\+?[0-9]{1,32}$/
const prefix = /^\+?([0-9]{1,32})\*$/
const prefixInRedis = /^prefix:([0-9]{1,32})$/

/** @returns undefined when `text` is none of `allowedEntry` */
export function parseEntry(text: string, country: Country): Entry | undefined {
  const bare = text.replace(separators, '')
  if (bare.toLowerCase() === anonymousTag) return entryOfTag(anonymousTag, country)
  if (number.test(bare)) return entryOfTag(bare, country)
  const digits = prefix.exec(bare)?.[1]
  return digits === undefined ? undefined : entryOfTag(prefixTag + digits, country)
}

/** The entry that stands in Redis under `tag`, which another program may have written: any text is one. */
export function entryOfTag(tag: string, country: Country): Entry {
  if (tag === anonymousTag) {
    return { kind: 'anonymous', entered: tag, normal: tag, tags: [tag], enteredTag: tag }
  }
  const digits = prefixInRedis.exec(tag)?.[1]
  if (digits !== undefined) {
    const normal = normalPrefix(digits, country)
    const spellings = otherSpellings(normal, country).filter(
      (other) => normalPrefix(other, country) === normal,
    )
    return {
      kind: 'prefix',
      entered: `${digits}*`,
      normal: `${normal}*`,
      tags: [
        prefixTag + normal,
        ...without(normal, [...spellings, digits]).map((other) => prefixTag + other),
      ],
      enteredTag: tag,
    }
  }
  const normal = normalNumber(tag, country)
  const spellings = [`+${normal}`, ...otherSpellings(normal, country)].filter(
    (other) => normalNumber(other, country) === normal,
  )
  return {
    kind: 'number',
    entered: tag,
    normal,
    tags: [normal, ...without(normal, [...spellings, tag])],
    enteredTag: tag,
  }
}

/** As it is dialled within the country: `0901234567`. */
function otherSpellings(normal: string, country: Country): string[] {
  const { callingCode, trunkPrefix } = planOf(country)
  return normal.startsWith(callingCode) ? [trunkPrefix + normal.slice(callingCode.length)] : []
}

function without(normal: string, spellings: string[]): string[] {
  return [...new Set(spellings)].filter((other) => other !== normal)
}

interface Plan {
  callingCode: string
  trunkPrefix: string
}
const plans = new Map<Country, Plan>()

function planOf(country: Country): Plan {
  let plan = plans.get(country)
  if (!plan) {
    const metadata = new Metadata()
    metadata.selectNumberingPlan(country)
    // The library's declaration leaves nationalPrefix() out; countries without a trunk prefix have none.
    const numbering = metadata.numberingPlan as
      { callingCode(): string; nationalPrefix(): string | undefined } | undefined
    plan = { callingCode: numbering?.callingCode() ?? '', trunkPrefix: numbering?.nationalPrefix() ?? '' }
    plans.set(country, plan)
  }
  return plan
}
