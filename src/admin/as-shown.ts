import type { TSchema } from 'typebox'

/** What a field may be when it is sent. In an answer there may be more: what was written by hand, or by a later release. */
const onlyWhenSent = new Set([
  ...['pattern', 'x-allowed', 'minimum', 'maximum', 'minLength', 'maxLength'],
  ...['minItems', 'maxItems', 'uniqueItems'],
])

/** The schema of an answer by that of what is sent: the same types and words, without its limits. */
export function asShown<T extends TSchema>(schema: T): T {
  return stripped(schema) as T
}

function stripped(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(stripped)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, inner]) => !(onlyWhenSent.has(name) && typeof inner !== 'object'))
      .map(([name, inner]) => [name, name === 'examples' ? inner : stripped(inner)]),
  )
}
