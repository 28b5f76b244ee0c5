import Table from 'cli-table3'
import { write, type Io } from './io.js'
import { cell, lines, oneLine } from './text.js'

export interface Column<Item> {
  readonly head: string
  readonly value: (item: Item) => unknown
}

/** Columns that show fields as they are. */
export function columns<const Names extends readonly string[]>(
  ...names: Names
): Column<Readonly<Record<Names[number], unknown>>>[] {
  return names.map((name: Names[number]) => ({
    head: name.replaceAll('_', ' '),
    value: (item) => item[name],
  }))
}

/** Tables for people, JSON for programs. */
export class Output {
  readonly #io: Pick<Io, 'stdout' | 'stderr'>
  readonly isTable: boolean

  /** @param json is wanted on a terminal, too */
  constructor(io: Pick<Io, 'stdout' | 'stderr'>, json = false) {
    this.#io = io
    this.isTable = io.stdout.isTTY === true && !json
  }

  get isTerminal(): boolean {
    return this.#io.stdout.isTTY === true
  }

  /** One thing: its fields, one a line. */
  async one(item: unknown): Promise<void> {
    if (!this.isTable) {
      await this.#json(item)
      return
    }
    const fields = Object.entries(item as Record<string, unknown>)
    const wide = fields.map(([name, value]) => [
      oneLine(name.replaceAll('_', ' ')),
      typeof value === 'string' ? oneLine(value) : cell(value),
    ])
    await this.#print(table(undefined, wide))
  }

  /** A list as it comes: a table a page, or one JSON array with an item a line. */
  async list<Item>(
    shown: readonly Column<Item>[],
    pages: AsyncIterable<readonly Item[]> | Iterable<readonly Item[]>,
  ): Promise<void> {
    let isEmpty = true
    for await (const items of pages) {
      if (items.length === 0) continue
      if (this.isTable) await this.#print(tableOf(shown, items))
      else await this.raw(`${isEmpty ? '[' : ','}\n${items.map((item) => JSON.stringify(item)).join(',\n')}`)
      isEmpty = false
    }
    if (!this.isTable) await this.raw(isEmpty ? '[]\n' : '\n]\n')
    else if (isEmpty) await this.#print('None.')
  }

  /** One document a line, for whoever reads as it comes. */
  async line(item: unknown): Promise<void> {
    await this.raw(`${JSON.stringify(item)}\n`)
  }

  /** What is text already, such as CSV. */
  async raw(text: string): Promise<void> {
    await write(this.#io.stdout, this.isTerminal ? lines(text) : text)
  }

  /** Text in UTF-8, as it comes. */
  async bytes(content: AsyncIterable<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder()
    for await (const chunk of content) await this.raw(decoder.decode(chunk, { stream: true }))
    await this.raw(decoder.decode())
  }

  /** That it is done, where there is nothing else to be shown. */
  done(text: string): void {
    if (this.isTable) this.note(text)
  }

  /** Beside the result. */
  note(text: string): void {
    this.#io.stderr.write(`${oneLine(text)}\n`)
  }

  async #json(value: unknown): Promise<void> {
    await this.raw(`${JSON.stringify(value, null, this.isTerminal ? 2 : undefined)}\n`)
  }

  /** What is clean already. */
  async #print(text: string): Promise<void> {
    await write(this.#io.stdout, `${text}\n`)
  }
}

export function tableOf<Item>(shown: readonly Column<Item>[], items: readonly Item[]): string {
  return table(
    shown.map(({ head }) => head),
    items.map((item) => shown.map(({ value }) => cell(value(item)))),
  )
}

function table(head: string[] | undefined, rows: string[][]): string {
  const made = new Table({ ...(head && { head }), style: { head: [], border: [], compact: true } })
  made.push(...rows)
  return made.toString()
}
