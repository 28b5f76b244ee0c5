import { normalPrefix, type Country } from '../numbering/normal-form.js'
import { ChangeRefused, quoted } from './refusal.js'

/** What no trunk prefix, and no prefix of international calls, is left of. */
const publicPrefix = /^[1-9][0-9]{0,31}$/
/** Codes may begin with 0: 000 is the emergency number of Australia. */
const anyPrefix = /^[0-9]{1,32}$/

/**
 * A prefix that somebody typed, in normal form.
 *
 * @param field for the error
 * @param codes whether short codes count as well as public numbers
 * @throws ChangeRefused `invalid`: no number in normal form begins with the 00 of international calls, and what was meant
 *   to be blocked would not be
 */
export function normalEntered(
  field: string,
  entered: string,
  country: Country,
  { codes = false }: { readonly codes?: boolean } = {},
): string {
  const normal = normalPrefix(entered, country)
  if (entered === '' || (codes ? anyPrefix : publicPrefix).test(normal)) return normal
  throw new ChangeRefused(
    'invalid',
    `is ${quoted(entered)}, with which no number begins in normal form; allowed is what numbers begin with, such as +44 or 090`,
    { field },
  )
}
