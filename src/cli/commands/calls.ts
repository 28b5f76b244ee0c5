import { Command } from 'commander'
import { pathOf } from '../client.js'
import { common, type Open } from '../context.js'
import { columns } from '../output.js'
import { pagesOf } from '../pages.js'
import { watch } from '../watch.js'

type Call = Readonly<Record<string, unknown>>

interface CallPage {
  /** The servers that told of their calls. */
  readonly nodes?: { readonly trouble: string | null }
}

const shown = columns(
  'started_at',
  'tenant',
  'direction',
  'caller',
  'called',
  'dialled',
  'state',
  'call_uuid',
)

export function callsCommand(open: Open): Command {
  const command = common(new Command('calls'))
    .description('calls in progress')
    .option('--tenant <id>', 'only those of a tenant')
    .option('--watch', 'look again every second, until Ctrl-C')
    .action(async (_options: unknown, self: Command) => {
      const { tenant, watch: isWatched } = self.optsWithGlobals<{ tenant?: string; watch?: boolean }>()
      const { client, output, io } = open(self)
      // What is missing is said, once as long as it is the same.
      let told: string | null = null
      const pages = () =>
        pagesOf<Call>(client, '/calls', {
          query: { tenant },
          onPage: ({ nodes }: CallPage) => {
            const trouble = nodes?.trouble ?? null
            if (trouble !== null && trouble !== told && !(isWatched && output.isTable)) output.note(trouble)
            told = trouble
          },
        })
      if (isWatched) await watch({ io, output, shown, pages, remark: () => told })
      else await output.list(shown, pages())
    })

  common(command.command('hangup <uuid>'))
    .description('end a call')
    .action(async (uuid: string, _options: unknown, self: Command) => {
      const { client, output } = open(self)
      await client.ask('POST', `${pathOf('calls', uuid)}/hangup`, { body: {} })
      output.done('It is hung up.')
    })
  return command
}
