import { Command, Option } from 'commander'
import { pathOf } from '../client.js'
import { common, type Open } from '../context.js'
import { readFile } from '../file.js'

interface ImportOptions {
  readonly replace?: boolean
  readonly dryRun?: boolean
}

export function ratesCommand(open: Open): Command {
  const command = new Command('rates').description('prices of a deck')

  common(command.command('import'))
    .description('put the rates of a CSV file into a deck: all of them or, if one is wrong, none')
    .argument('<deck>')
    .argument('<file>', '- is standard input')
    .option('--replace', 'they take the place of those that are there')
    .addOption(new Option('--dry-run', 'only say what would happen'))
    .action(async (deck: string, path: string, options: ImportOptions, self: Command) => {
      const { client, output, io } = open(self)
      const { body } = await client.send(`${pathOf('decks', deck)}/rates/import`, {
        query: { mode: options.replace ? 'replace' : 'add', dry_run: options.dryRun },
        type: 'text/csv',
        content: readFile(io, path),
      })
      await output.one(body)
    })

  common(command.command('export'))
    .description('the rates of a deck as CSV')
    .argument('<deck>')
    .action(async (deck: string, _options: unknown, self: Command) => {
      const { client, output } = open(self)
      await output.bytes(client.fetch(`${pathOf('decks', deck)}/rates/export`))
    })
  return command
}
