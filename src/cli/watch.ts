import { setTimeout as delay } from 'node:timers/promises'
import type { Context } from './context.js'
import { CliError, exitCodes } from './errors.js'
import { tableOf, type Column } from './output.js'
import { oneLine } from './text.js'

const everyMs = 1_000
const usualRows = 24

/** A screen of its own, without a cursor, that cuts long lines; what was there before comes back after it. */
const enter = '\x1b[?1049h\x1b[?25l\x1b[?7l'
const leave = '\x1b[?7h\x1b[?25h\x1b[?1049l'
const home = '\x1b[H'
const clearLine = '\x1b[K'
const clearBelow = '\x1b[J'

export interface Watched<Item> extends Pick<Context, 'io' | 'output'> {
  readonly shown: readonly Column<Item>[]
  /** Looks once. */
  readonly pages: () => AsyncIterable<readonly Item[]>
  /** What else is to be said of the last look; null: nothing. */
  readonly remark: () => string | null
}

/**
 * Shows a list again and again, until somebody presses Ctrl-C: on a terminal in place, else as JSON, an array a line.
 * A server that is away is waited for.
 *
 * @throws CliError what the server refuses
 */
export async function watch<Item>({ io, output, shown, pages, remark }: Watched<Item>): Promise<void> {
  const { signal, stdout } = io
  if (output.isTable) stdout.write(enter)
  try {
    while (!signal.aborted) {
      const look = await lookAt(pages)
      if (look === undefined) break
      if (!output.isTable) {
        if (typeof look === 'string') output.note(look)
        else await output.line(look)
      } else {
        const text = typeof look === 'string' ? look : remark()
        const items = typeof look === 'string' ? undefined : look
        stdout.write(frame({ text, items }, shown, stdout))
      }
      await delay(everyMs, undefined, { signal }).catch(() => undefined)
    }
  } finally {
    if (output.isTable) stdout.write(leave)
  }
}

/** @returns what there is, or why there is no telling; undefined: nobody wants to know any more */
async function lookAt<Item>(
  pages: () => AsyncIterable<readonly Item[]>,
): Promise<readonly Item[] | string | undefined> {
  const items: Item[] = []
  try {
    for await (const page of pages()) items.push(...page)
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    if (error.exitCode === exitCodes.interrupted) return undefined
    if (error.exitCode === exitCodes.trouble) return error.message
    throw error
  }
  return items
}

/** As much as the screen holds, over what was there. */
function frame<Item>(
  { text, items }: { readonly text: string | null; readonly items: readonly Item[] | undefined },
  shown: readonly Column<Item>[],
  { rows = usualRows }: { readonly rows?: number },
): string {
  const at = `${new Date().toISOString().slice(11, 19)} UTC`
  const head = [at, items && `calls: ${items.length}`, text && oneLine(text)].filter(Boolean).join('  ')
  const body = items !== undefined && items.length > 0 ? tableOf(shown, items).split('\n') : []
  const fits = [head, ...body].slice(0, Math.max(1, rows - 1))
  return `${home}${fits.map((line) => `${line}${clearLine}\n`).join('')}${clearBelow}`
}
