import { parseArgs } from 'node:util'

/** The servers by their letters, in the order in which they are measured and shown. */
export const kinds = {
  a: { name: 'nothing', title: 'no parsing at all: the ceiling' },
  p: { name: 'bare', title: 'a bare parser' },
  b: { name: 'linger', title: "Linger's listener and channel" },
  c: { name: 'esl', title: "the esl package's server" },
  d: { name: 'whole', title: 'Linger, all of it: PostgreSQL, Redis, CDR' },
} as const
export type Kind = keyof typeof kinds

/** What is measured apart from the servers, in this order. */
export const parts = {
  journal: 'records made durable a second',
  commits: 'billed CDRs a second, from the journal to PostgreSQL',
  authorise: 'how long a leg waits for its credit',
  tariff: 'a million rates: loaded, in memory, looked up',
  plan: 'a number plan of 100,000 entries: what a call costs beside one without, looked up',
  cdrs: 'questions about 10,000,000 CDRs, and commits among them; takes half an hour and 25 GB, so only when named',
  blacklist: 'look-ups in the blacklist over HTTP a second',
} as const
export type Part = keyof typeof parts

export interface Options {
  readonly kinds: readonly Kind[]
  readonly parts: readonly Part[]
  readonly isQuick: boolean
  readonly measures: readonly ('cpu' | 'memory')[]
  readonly rounds: number
  /** Calls of one round, of each server. */
  readonly calls: number
  /** Calls at a time. */
  readonly parallel: number
  /** CDRs that are asked about. */
  readonly rows: number
  /** Calls that are held open for the memory. */
  readonly held: number
  /** Where CPU profiles of the servers go. */
  readonly profileDir: string | undefined
}

export const usage = `npm run bench -- [options] [WORDS]
  --quick            a short run: fewer rounds, calls, records, and calls held open
  --only WORDS       which servers and which parts, such as b,c,d,commits; also without --only
${Object.entries(kinds)
  .map(([letter, { title }]) => `                     ${letter}: ${title}`)
  .join('\n')}
${Object.entries(parts)
  .map(([name, title]) => `                     ${name}: ${title}`)
  .join('\n')}
  --measure cpu      of the servers only this (cpu or memory)
  --rounds N         rounds, each with every server. Default 7
  --calls N          calls a round. Default 1000
  --parallel N       calls at a time. Default 100
  --held N           calls held open for the memory. Default 5000
  --rows N           CDRs that are asked about. Default 10000000
  --cpu-prof DIR     writes a CPU profile of each server there`

/** What is measured when nothing is named. */
const usual = [...Object.keys(kinds), ...Object.keys(parts)].filter((word) => word !== 'cdrs').join()

/** @throws Error whose message is one line */
export function parseOptions(words: readonly string[]): Options | 'help' {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      measure: { type: 'string', default: 'cpu,memory' },
      rounds: { type: 'string' },
      calls: { type: 'string' },
      parallel: { type: 'string', default: '100' },
      held: { type: 'string' },
      rows: { type: 'string' },
      'cpu-prof': { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return 'help'
  const named = [...(values.only === undefined ? [] : [values.only]), ...positionals]
  const only = oneOf(
    named.length > 0 ? named.join() : usual,
    Object.keys({ ...kinds, ...parts }) as (Kind | Part)[],
    '--only',
  )
  return {
    kinds: only.filter((word) => word in kinds) as Kind[],
    parts: only.filter((word) => word in parts) as Part[],
    isQuick: values.quick,
    measures: oneOf(values.measure, ['cpu', 'memory'] as const, '--measure'),
    rounds: whole(values.rounds, values.quick ? 3 : 7, '--rounds'),
    calls: whole(values.calls, values.quick ? 500 : 1000, '--calls'),
    parallel: whole(values.parallel, 100, '--parallel'),
    rows: whole(values.rows, values.quick ? 200_000 : 10_000_000, '--rows'),
    held: whole(values.held, values.quick ? 1000 : 5000, '--held'),
    profileDir: values['cpu-prof'],
  }
}

function oneOf<T extends string>(text: string, allowed: readonly T[], name: string): T[] {
  const words = text.split(',')
  for (const word of words)
    if (!allowed.some((each) => each === word))
      throw new Error(`${name} ${JSON.stringify(word)}: allowed are ${allowed.join()}`)
  return allowed.filter((each) => words.includes(each))
}

function whole(text: string | undefined, fallback: number, name: string): number {
  if (text === undefined) return fallback
  if (!/^[1-9][0-9]{0,8}$/.test(text))
    throw new Error(`${name} ${JSON.stringify(text)}: a whole number is needed`)
  return Number(text)
}
