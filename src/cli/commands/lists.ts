import { Command, Option } from 'commander'
import { pathOf } from '../client.js'
import { common, whole, type Context, type Open } from '../context.js'
import { CliError, exitCodes } from '../errors.js'
import { readFile } from '../file.js'
import { columns } from '../output.js'
import { pagesOf } from '../pages.js'

type Entry = Readonly<Record<string, unknown>>

/** One of the two lists of numbers. */
interface ListCommand {
  readonly name: 'blacklist' | 'vip'
  readonly description: string
  readonly hasTtl: boolean
}

/** The server takes no more at once. */
const mostNumbers = 500

const lists: readonly ListCommand[] = [
  { name: 'blacklist', description: 'callers whose calls are refused', hasTtl: true },
  { name: 'vip', description: 'callers who go first', hasTtl: false },
]

export function listCommands(open: Open): Command[] {
  return lists.map((list) => listCommand(list, open))
}

function listCommand({ name, description, hasTtl }: ListCommand, open: Open): Command {
  const command = new Command(name).description(description)
  const shown = columns('number', 'normal_form', 'kind', 'reason', 'added_by', 'expires_at').filter(
    ({ head }) => hasTtl || head !== 'expires at',
  )
  const sub = (usage: string, text: string) => common(command.command(usage)).description(text)

  sub('list', 'what is on it')
    .addOption(new Option('--limit <n>', 'entries at most').argParser(whole).default(100))
    .option('--all', 'all of them')
    .action(async (options: { limit: number; all?: boolean }, self: Command) => {
      const { client, output } = open(self)
      const limit = options.all ? Infinity : options.limit
      await output.list<Entry>(shown, pagesOf(client, `/${name}`, { limit }))
    })

  sub('get <number>', 'look a number up; exit code 3 if it is not on it').action(
    async (number: string, _options: unknown, self: Command) => {
      const { client, output } = open(self)
      await output.one((await client.ask('GET', pathOf(name, number))).body)
    },
  )

  const add = sub('add <number...>', 'add numbers; those that are on it already are renewed').option(
    '--reason <text>',
    'why; it is kept',
  )
  if (hasTtl)
    add.addOption(new Option('--ttl <seconds>', 'until it expires; a day if left out').argParser(whole))
  add.action(async (numbers: string[], options: { reason?: string; ttl?: number }, self: Command) => {
    const { client, output } = open(self)
    const added: Entry[] = []
    for (let from = 0; from < numbers.length; from += mostNumbers) {
      const { body } = await client.ask<{ items: Entry[] }>('POST', pathOf(name), {
        body: {
          numbers: numbers.slice(from, from + mostNumbers),
          ...(options.reason !== undefined && { reason: options.reason }),
          ...(options.ttl !== undefined && { ttl_seconds: options.ttl }),
        },
      })
      added.push(...body.items)
    }
    await output.list(shown, [added])
  })

  sub('remove <number...>', 'remove numbers').action(
    async (numbers: string[], _options: unknown, self: Command) => {
      await removeAll(open(self), name, numbers)
    },
  )

  sub('import <file>', 'add what is in a CSV file; - is standard input').action(
    async (path: string, _options: unknown, self: Command) => {
      const { client, output, io } = open(self)
      const content = readFile(io, path)
      const { body } = await client.send(`${pathOf(name)}/import`, { type: 'text/csv', content })
      await output.one(body)
    },
  )

  sub('export', 'the list as CSV').action(async (_options: unknown, self: Command) => {
    const { client, output } = open(self)
    await output.bytes(client.fetch(`${pathOf(name)}/export`))
  })
  return command
}

/** Those that are there go, whatever the others are. @throws CliError when one was not */
async function removeAll(
  { client, output }: Context,
  name: string,
  numbers: readonly string[],
): Promise<void> {
  const removed: string[] = []
  const missing: string[] = []
  for (const number of numbers)
    try {
      await client.ask('DELETE', pathOf(name, number))
      removed.push(number)
    } catch (error) {
      if (!(error instanceof CliError) || error.exitCode !== exitCodes.missing) throw error
      missing.push(error.message)
    }
  await output.list([{ head: 'removed', value: (number: string) => number }], [removed])
  const [first] = missing
  if (first === undefined) return
  throw missing.length === 1
    ? new CliError(exitCodes.missing, first)
    : new CliError(exitCodes.missing, `${missing.length} of the numbers were not there`, { details: missing })
}
