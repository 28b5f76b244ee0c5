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
  /**
   * Digits that read as a national number and as a normal form (376312345 in Vietnam, and in Andorra): the
   * entry of the other reading.
   */
  alternative?: Entry
}

/** What `parseEntry` takes, for a person who entered something else. */
export const allowedNumber =
  'a number of 1 to 32 digits with an optional leading + (spaces, dots, hyphens and parentheses are ignored)'
export const allowedEntry = `${allowedNumber}, a prefix of 1 to 32 digits that ends in * (8490*), or anonymous`

const separators = /[ .()-]/g
const number = /^\+?[0-9]{1,32}$/
const prefix = /^\+?([0-9]{1,32})\*$/
const prefixInRedis = /^prefix:([0-9]{1,32})$/
/** Up to here, digits are an extension or a short code, which is no other spelling of a number. */
const shortestNational = 7

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
    const national = nationalSpelling(normal, country)
    const spellings = normalPrefix(national, country) === normal ? [national, digits] : [digits]
    return {
      kind: 'prefix',
      entered: textOfTag(tag),
      normal: `${normal}*`,
      tags: distinct([normal, ...spellings].map((other) => prefixTag + other)),
      enteredTag: tag,
    }
  }
  const normal = normalNumber(tag, country)
  const entry = numberEntry(tag, normal, country)
  // No country code begins with 0, so most that is entered has one reading only.
  const isAmbiguous = /^[1-9][0-9]*$/.test(tag) && normal !== tag && normalNumber(`+${tag}`, country) === tag
  return isAmbiguous ? { ...entry, alternative: numberEntry(tag, tag, country) } : entry
}

function numberEntry(tag: string, normal: string, country: Country): Entry {
  const national = nationalSpelling(normal, country)
  const spellings = /^[0-9]+$/.test(normal) ? [`+${normal}`] : []
  if (national.length >= shortestNational) spellings.push(national)
  return {
    kind: 'number',
    entered: tag,
    normal,
    tags: distinct([normal, ...spellings, tag]),
    enteredTag: tag,
  }
}

/** @returns what is entered to get `tag`: `8490*` for `prefix:8490` */
export function textOfTag(tag: string): string {
  const digits = prefixInRedis.exec(tag)?.[1]
  return digits === undefined ? tag : `${digits}*`
}

function distinct(tags: string[]): [string, ...string[]] {
  return [...new Set(tags)] as [string, ...string[]]
}

/** As it is dialled within the country: `0901234567` for `84901234567`; empty for another country's. */
function nationalSpelling(normal: string, country: Country): string {
  const { callingCode, trunkPrefix } = planOf(country)
  return normal.startsWith(callingCode) ? trunkPrefix + normal.slice(callingCode.length) : ''
}

interface Plan {
  callingCode: string
  /** Empty where national numbers are dialled as they are. */
  trunkPrefix: string
}
const plans = new Map<Country, Plan>()

function planOf(country: Country): Plan {
  let plan = plans.get(country)
  if (!plan) {
    const metadata = new Metadata()
    metadata.selectNumberingPlan(country)
    // nationalPrefix() is missing from the library's declarations.
    const { numberingPlan } = metadata as unknown as {
      numberingPlan: { callingCode(): string; nationalPrefix(): string | undefined }
    }
    const callingCode = numberingPlan.callingCode()
    const trunk = numberingPlan.nationalPrefix() ?? ''
    // Italy's 0 belongs to the number, and nobody in North America needs the 1, which is its country code too.
    const isStripped = trunk !== callingCode && normalPrefix(`${trunk}2`, country) === `${callingCode}2`
    plan = { callingCode, trunkPrefix: isStripped ? trunk : '' }
    plans.set(country, plan)
  }
  return plan
}
