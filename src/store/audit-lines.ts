import type pg from 'pg'
import { storedText } from './columns.js'
import { countedId, pageOf, readCursor, type Page } from './cursor.js'
import { hasNul } from './database.js'
import type { Db } from './within.js'

/** Who does something over the HTTP API, and what. */
export interface Act {
  /** Of the API key. */
  readonly keyId: string
  /** Where it was asked from. */
  readonly address: string
  /** The operation's name in openapi.json. */
  readonly action: string
}

/** What an act changed. */
export interface Change {
  /** Null: it is no tenant's. */
  readonly tenant: string | null
  /** What was changed, in words: `extension demo/1000`. */
  readonly target: string
  /** As the API shows it; without it: it was not there. */
  readonly before?: object | null | undefined
  readonly after?: object | null | undefined
  /** Why what was announced was not done. */
  readonly failure?: string
}

/** A line as it was written. */
export interface AuditLine extends Act {
  readonly id: string
  readonly at: Date
  readonly tenant: string | null
  readonly target: string
  readonly before: object | null
  readonly after: object | null
  readonly failure: string | null
}

/** The same as whoever asks may see it; without its address where that is hidden. */
export type SeenAuditLine = Omit<AuditLine, 'address'> & { readonly address: string | null }

/** In the caller's transaction: the line is there if, and only if, the change is. */
export async function writeAuditLine(db: Db, act: Act, change: Change): Promise<void> {
  await writeAuditLines(db, act, [change])
}

/** The same of several changes, in their order. */
export async function writeAuditLines(db: Db, act: Act, changes: readonly Change[]): Promise<void> {
  if (changes.length === 0) return
  await db.query(
    `INSERT INTO audit_lines (key_id, address, action, tenant_id, target, before, after, failure)
    SELECT $1, $2, $3, * FROM unnest($4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::text[])`,
    [
      ...[act.keyId, act.address, act.action],
      changes.map(({ tenant }) => tenant),
      changes.map(({ target }) => storedText(target)),
      changes.map(({ before }) => json(before)),
      changes.map(({ after }) => json(after)),
      changes.map(({ failure }) => (failure === undefined ? null : storedText(failure))),
    ],
  )
}

export interface AuditQuery {
  /** Lines a page. */
  readonly limit: number
  /** `next` of the page before. */
  readonly cursor?: string
  readonly tenant?: string
  readonly keyId?: string
  readonly action?: string
  readonly target?: string
  /** RFC 3339; the first from that moment on, the last before that one. */
  readonly from?: string
  readonly to?: string
  /** A tenant: no lines of API keys then, and no addresses but of those who work for it alone. */
  readonly seenBy?: string
}

/** What is done to API keys. */
const keyActions = ['makeKey', 'revokeKey']

/** The latest first. @throws CursorError */
export async function listAuditLines(pool: pg.Pool, query: AuditQuery): Promise<Page<SeenAuditLine>> {
  const { limit, cursor, tenant, keyId, action, target, from, to, seenBy } = query
  const [before] = cursor === undefined ? [] : readCursor(cursor, [countedId])
  if ([tenant, action, target].some(hasNul)) return { items: [], next: null }
  const parameters: unknown[] = []
  const conditions: string[] = []
  const add = (condition: string, value: unknown): void => {
    if (value !== undefined) conditions.push(condition.replace('?', `$${parameters.push(value)}`))
  }
  add('id < ?', before)
  add('tenant_id = ?', tenant)
  add('key_id = ?', keyId)
  add('action = ?', action)
  add('target = ?', target)
  add('at >= ?', from)
  add('at < ?', to)
  add('action <> ALL (?::text[])', seenBy && keyActions)
  const address =
    seenBy === undefined
      ? 'address'
      : `CASE WHEN EXISTS (SELECT FROM api_keys WHERE id = key_id AND api_keys.tenant_id = $${parameters.push(seenBy)})
        THEN address END AS address`
  const { rows } = await pool.query<SeenAuditLine>(
    `SELECT id, at, key_id AS "keyId", ${address}, action, tenant_id AS tenant, target, before, after, failure
    FROM audit_lines ${conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : ''}
    ORDER BY id DESC LIMIT $${parameters.push(limit + 1)}`,
    parameters,
  )
  return pageOf(
    rows,
    limit,
    (row) => row,
    ({ id }) => [id],
  )
}

const isUnstorable = /\\u(?:0000|d[89a-f])/

function json(value: object | null | undefined): string | null {
  if (value === undefined || value === null) return null
  const text = JSON.stringify(value)
  if (!isUnstorable.test(text)) return text
  return JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'string' ? storedText(inner) : inner))
}
