import { Command, Option } from 'commander'
import { pathOf, type Query } from '../client.js'
import { common, moment, refuseBoth, whole, type Open } from '../context.js'
import { columns } from '../output.js'
import { pagesOf } from '../pages.js'

interface CdrOptions {
  readonly tenant?: string
  readonly from?: string
  readonly to?: string
  readonly caller?: string
  readonly called?: string
  readonly limit?: number
  readonly all?: boolean
  readonly csv?: boolean
  readonly json?: boolean
}

const usualLimit = 50

const shown = columns(
  'started_at',
  'tenant',
  'direction',
  'caller',
  'called',
  'billed_ms',
  'cost',
  'hangup_cause',
  'call_uuid',
)

export function cdrsCommand(open: Open): Command {
  const command = common(new Command('cdrs'))
    .description('calls that are over, the latest first')
    .option('--tenant <id>', 'only those of a tenant')
    .addOption(new Option('--from <moment>', 'only those that began then or later').argParser(moment))
    .addOption(new Option('--to <moment>', 'only those that began before').argParser(moment))
    .option('--caller <number>', 'only those of a caller')
    .option('--called <number>', 'only those to a number')
    .addOption(new Option('--limit <n>', `so many at most; ${usualLimit} if left out`).argParser(whole))
    .option('--all', 'all of them')
    .option('--csv', 'CSV, of all of them')
    .action(async (_options: unknown, self: Command) => {
      const options = self.optsWithGlobals<CdrOptions>()
      const { limit, all, csv, json } = options
      refuseBoth(limit, all, '--limit and --all')
      refuseBoth(csv, json, '--csv and --json')
      refuseBoth(csv, limit, '--csv and --limit')
      const query = queryOf(options)
      const { client, output } = open(self)
      if (csv) await output.bytes(client.fetch('/cdrs/export', { ...query, format: 'csv' }))
      else
        await output.list(
          shown,
          pagesOf(client, '/cdrs', { query, limit: all ? Infinity : (limit ?? usualLimit) }),
        )
    })

  common(command.command('get <uuid>'))
    .description('one of them, with its charges')
    .action(async (uuid: string, _options: unknown, self: Command) => {
      const { client, output } = open(self)
      await output.one((await client.ask('GET', pathOf('cdrs', uuid))).body)
    })
  return command
}

function queryOf({ tenant, from, to, caller, called }: CdrOptions): Query {
  return { tenant, from, to, caller, called }
}
