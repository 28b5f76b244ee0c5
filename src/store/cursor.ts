import { CursorError } from './errors.js'

/** The place of a page's last item: what it is ordered by. */
export function makeCursor(place: readonly string[]): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url')
}

/** @param length of the place; @throws CursorError */
export function readCursor(cursor: string, length: number): string[] {
  try {
    const place: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    const isText = (part: unknown): part is string => typeof part === 'string' && !part.includes('\0')
    if (Array.isArray(place) && place.length === length && place.every(isText)) return place
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
