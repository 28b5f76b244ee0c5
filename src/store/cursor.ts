import { CursorError } from './errors.js'

/** Any text that PostgreSQL can hold. */
export const anyText = /^[^\0]*$/
/** An id that counts up. */
export const countedId = /^[1-9][0-9]{0,17}$/

/** The place of a page's last item: what it is ordered by. */
function makeCursor(place: readonly string[]): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url')
}

/** @param parts what each part of the place looks like; @throws CursorError */
export function readCursor<const Parts extends readonly RegExp[]>(
  cursor: string,
  parts: Parts,
): { [part in keyof Parts]: string } {
  try {
    const place: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    const isPart = (part: unknown, i: number): boolean =>
      typeof part === 'string' && parts[i]?.test(part) === true
    if (Array.isArray(place) && place.length === parts.length && place.every(isPart))
      return place as { [part in keyof Parts]: string }
  } catch {
    // Falls through: it is no JSON.
  }
  throw new CursorError('the cursor is not one that this list gave')
}

export interface Page<T> {
  readonly items: T[]
  /** Where the next page begins; null: this was the last one. */
  readonly next: string | null
}

/** @param rows one more than asked for says that there is a next page */
export function pageOf<R, T>(
  rows: readonly R[],
  limit: number,
  shown: (row: R) => T,
  placeOf: (row: R) => readonly string[],
): Page<T> {
  const last = rows.length > limit ? rows[limit - 1] : undefined
  return {
    items: rows.slice(0, limit).map(shown),
    next: last === undefined ? null : makeCursor(placeOf(last)),
  }
}
