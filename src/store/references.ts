import type pg from 'pg'

import type { Reference } from './flow.js'
import type { FlowKind } from './flow-rows.js'
import { ChangeRefused, quoted } from './refusal.js'

/** What refers to something: a menu, hours, or an entry of the number plan, by what its numbers are called. */
export type Referrer =
  | { readonly kind: FlowKind; readonly id: string }
  | { readonly kind: 'plan'; readonly id: string; readonly numbers: string }

const kindWords = { menu: 'the menu', hours: 'the hours', extension: 'the extension' } as const

/** For an error. */
function referrerWords(referrer: Referrer): string {
  return referrer.kind === 'plan'
    ? `the number plan's entry for ${referrer.numbers}`
    : `${kindWords[referrer.kind]} ${quoted(referrer.id)}`
}

function referenceWords({ kind, id }: Reference): string {
  return `${kindWords[kind]} ${quoted(id)}`
}

/**
 * Says anew what `from` refers to. What it refers to stays until the transaction ends.
 *
 * @throws ChangeRefused `missing`
 */
export async function setReferences(
  client: pg.ClientBase,
  tenantId: string,
  from: Referrer,
  references: readonly Reference[],
): Promise<void> {
  const fromColumns = from.kind === 'plan' ? [null, null, from.id] : [from.kind, from.id, null]
  await client.query(
    `DELETE FROM flow_references WHERE tenant_id = $1
      AND (from_kind = $2 AND from_id = $3 OR from_plan = $4)`,
    [tenantId, ...fromColumns],
  )
  const distinct = [...new Map(references.map((each) => [`${each.kind}/${each.id}`, each])).values()]
  if (distinct.length === 0) return
  const missing = await missingOf(client, tenantId, distinct)
  if (missing.length > 0) {
    const list = missing.map(referenceWords).join(', ')
    const isOne = missing.length === 1
    throw new ChangeRefused(
      'missing',
      `${referrerWords(from)} refers to ${list}, which ${isOne ? 'does' : 'do'} not exist`,
    )
  }
  const isFlow = ({ kind }: Reference) => kind !== 'extension'
  await client.query(
    `INSERT INTO flow_references (tenant_id, from_kind, from_id, from_plan, to_kind, to_id, to_extension)
    SELECT $1, $2, $3, $4, * FROM unnest($5::text[], $6::text[], $7::text[])`,
    [
      ...[tenantId, ...fromColumns],
      distinct.map((each) => (isFlow(each) ? each.kind : null)),
      distinct.map((each) => (isFlow(each) ? each.id : null)),
      distinct.map((each) => (isFlow(each) ? null : each.id)),
    ],
  )
}

async function missingOf(
  client: pg.ClientBase,
  tenantId: string,
  references: readonly Reference[],
): Promise<Reference[]> {
  // Locked, so that nobody takes away what was found here. In one order, so that no two wait for each other.
  const { rows: flows } = await client.query<{ kind: FlowKind; id: string }>(
    `SELECT kind, id FROM flows
    WHERE tenant_id = $1 AND (kind, id) IN (SELECT * FROM unnest($2::text[], $3::text[]))
    ORDER BY kind, id FOR KEY SHARE`,
    [tenantId, references.map(({ kind }) => kind), references.map(({ id }) => id)],
  )
  const { rows: extensions } = await client.query<{ number: string }>(
    `SELECT number FROM extensions WHERE tenant_id = $1 AND number = ANY($2) ORDER BY number FOR KEY SHARE`,
    [tenantId, references.filter(({ kind }) => kind === 'extension').map(({ id }) => id)],
  )
  const present = new Set([
    ...flows.map(({ kind, id }) => `${kind}/${id}`),
    ...extensions.map(({ number }) => `extension/${number}`),
  ])
  return references.filter(({ kind, id }) => !present.has(`${kind}/${id}`))
}

/** How many are named; who has more need not read them all to know what to do. */
const mostNamed = 10

/**
 * What refers to it, besides itself: as long as there is anything, it cannot be deleted. The first ones of many.
 *
 * @param db in a transaction that has locked it FOR UPDATE nothing is added before that ends
 */
export async function referrersOf(
  db: pg.Pool | pg.ClientBase,
  tenantId: string,
  { kind, id }: Reference,
): Promise<Referrer[]> {
  const { rows } = await db.query<
    { kind: FlowKind; id: string; plan: null } | { kind: null; id: null; plan: string; numbers: string }
  >(
    `SELECT r.from_kind AS kind, r.from_id AS id, r.from_plan AS plan,
      plan_words(p.kind, p.entered, p.entered_to) AS numbers
    FROM flow_references r LEFT JOIN number_plan p ON p.tenant_id = r.tenant_id AND p.id = r.from_plan
    WHERE r.tenant_id = $1 AND ${kind === 'extension' ? 'to_extension = $2' : 'to_kind = $3 AND to_id = $2'}
      ${kind === 'extension' ? '' : 'AND (from_kind = $3 AND from_id = $2) IS NOT TRUE'}
    ORDER BY from_kind, from_id, from_plan LIMIT ${mostNamed}`,
    kind === 'extension' ? [tenantId, id] : [tenantId, id, kind],
  )
  return rows.map((row) =>
    row.kind === null ? { kind: 'plan', id: row.plan, numbers: row.numbers } : { kind: row.kind, id: row.id },
  )
}

/** @throws ChangeRefused `in_use`, saying by what */
export async function refuseIfReferred(
  client: pg.ClientBase,
  tenantId: string,
  reference: Reference,
): Promise<void> {
  const referrers = await referrersOf(client, tenantId, reference)
  if (referrers.length === 0) return
  const words = referrers.map(referrerWords)
  const more = referrers.length === mostNamed ? ', and there may be more' : ''
  throw new ChangeRefused(
    'in_use',
    `${referenceWords(reference)} cannot be deleted: ${words.join(', ')} ${words.length === 1 ? 'leads' : 'lead'} to it${more}`,
  )
}
