import { readdirSync, readFileSync } from 'node:fs'
import type pg from 'pg'

interface Times {
  readonly parent: number
  /** Of itself, and of its children that have ended, in ticks. */
  readonly own: number
  readonly ended: number
}

/** µs: Linux tells CPU time in hundredths of a second, whatever its own clock does. */
const tick = 10_000

/**
 * What to ask for the CPU that PostgreSQL has taken, all of its processes, in µs. It must run on this machine,
 * and that be a Linux: elsewhere the answer is undefined.
 */
export async function postgresCpu(pool: pg.Pool): Promise<() => number | undefined> {
  if (process.platform !== 'linux') return () => undefined
  const { rows } = await pool.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  const postmaster = timesOf(rows[0]?.pid ?? 0)?.parent
  return () => (postmaster === undefined ? undefined : familyTicks(postmaster) * tick)
}

function familyTicks(postmaster: number): number {
  const itself = timesOf(postmaster)
  let sum = (itself?.own ?? 0) + (itself?.ended ?? 0)
  for (const name of readdirSync('/proc')) {
    const times = /^\d+$/.test(name) ? timesOf(Number(name)) : undefined
    if (times?.parent === postmaster) sum += times.own
  }
  return sum
}

/** @returns undefined when there is no such process, any more */
function timesOf(pid: number): Times | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return undefined
  }
  // The name, in parentheses, may hold anything; what follows are numbers and a letter (proc_pid_stat(5)).
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const field = (number: number) => Number(fields[number - 3])
  return { parent: field(4), own: field(14) + field(15), ended: field(16) + field(17) }
}
