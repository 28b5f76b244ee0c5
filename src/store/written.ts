import pg from 'pg'

import { ChangeRefused, type RefusalCode } from './refusal.js'

/** What goes into a row: values by the names of its columns, which stand in code. Undefined ones are left out. */
export type Values = Readonly<Record<string, unknown>>

/** `(a, b) VALUES ($1, $2)`, for an INSERT. */
export function insertion(values: Values): { readonly sql: string; readonly parameters: unknown[] } {
  const given = entriesOf(values)
  const places = given.map((_, i) => `$${i + 1}`)
  return {
    sql: `(${given.map(([column]) => column).join(', ')}) VALUES (${places.join(', ')})`,
    parameters: given.map(([, value]) => value),
  }
}

/**
 * `a = $3, b = $4`, for an UPDATE.
 *
 * @param from number of the first parameter
 * @returns undefined when there is nothing to write
 */
export function assignments(
  values: Values,
  from: number,
): { readonly sql: string; readonly parameters: unknown[] } | undefined {
  const given = entriesOf(values)
  if (given.length === 0) return undefined
  return {
    sql: given.map(([column], i) => `${column} = $${from + i}`).join(', '),
    parameters: given.map(([, value]) => value),
  }
}

function entriesOf(values: Values): [string, unknown][] {
  const given = Object.entries(values).filter(([, value]) => value !== undefined)
  for (const [column] of given)
    if (!/^[a-z_]+$/.test(column)) throw new Error(`${column} is no name of a column`)
  return given
}

/**
 * What a table refuses, in words, by the name of the constraint or by the SQLSTATE of what a check itself stumbles over;
 * without a detail, in the database's own.
 */
export type Refusals = Readonly<
  Record<string, { readonly code: RefusalCode; readonly field?: string; readonly detail?: string }>
>

/**
 * Waits for what is written to a table. What its constraints refuse was looked at before; this is the net below that, for
 * what somebody else did in the meantime.
 *
 * @param table whose checks are named after their columns
 * @throws ChangeRefused
 */
export async function writing<T>(table: string, refusals: Refusals, written: Promise<T>): Promise<T> {
  try {
    return await written
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error
    const known = refusals[error.constraint ?? error.code ?? '']
    if (known) {
      const { code, field, detail = error.message } = known
      throw new ChangeRefused(code, detail, { cause: error, ...(field !== undefined && { field }) })
    }
    const field = checkedColumn(table, error)
    if (field === undefined) throw error
    throw new ChangeRefused('invalid', 'is not a value that can be kept', { cause: error, field })
  }
}

/** `tenants_ring_seconds_check` is of the column ring_seconds. */
function checkedColumn(table: string, { code, constraint = '' }: pg.DatabaseError): string | undefined {
  if (code !== checkViolation) return undefined
  return new RegExp(`^${table}_(.+?)_check[0-9]*$`).exec(constraint)?.[1]
}

const checkViolation = '23514'
