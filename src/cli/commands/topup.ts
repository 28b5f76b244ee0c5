import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Command } from 'commander'
import { pathOf, type Answer } from '../client.js'
import { common, type Open } from '../context.js'
import { CliError, exitCodes } from '../errors.js'

interface TopupOptions {
  readonly key?: string
  readonly description?: string
}

/** Pauses before it is asked again, in ms. */
const pausesMs = [500, 1_000, 2_000, 4_000, 8_000] as const

export function topupCommand(open: Open): Command {
  return common(new Command('topup'))
    .description('book money that a tenant paid in')
    .argument('<tenant>')
    .argument('<amount>', 'in the currency of the tenant, such as 500000 or 21.17')
    .option('--key <key>', 'idempotency key: however often the command runs with it, it books once')
    .option('--description <text>', 'what it is for; it stands on the line')
    .action(async (tenant: string, amount: string, options: TopupOptions, self: Command) => {
      const { client, output, io } = open(self)
      const key = options.key ?? randomUUID()
      // Before it is used: whoever is cut off can ask again.
      if (options.key === undefined) output.note(`idempotency key: ${key}`)
      const { status, body } = await persistently(io.signal, () =>
        client.ask<Record<string, unknown>>('POST', `${pathOf('tenants', tenant)}/topups`, {
          headers: { 'idempotency-key': key },
          body: { amount, ...(options.description !== undefined && { description: options.description }) },
        }),
      )
      if (status === 200) output.note('It was booked before under this key; nothing was booked now.')
      await output.one(body)
    })
}

/** Asks again while the answer does not come: under one key it books once. */
async function persistently<T>(signal: AbortSignal, ask: () => Promise<Answer<T>>): Promise<Answer<T>> {
  for (const pause of pausesMs)
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof CliError) || error.exitCode !== exitCodes.trouble) throw error
      await delay(pause, undefined, { signal }).catch(() => undefined)
    }
  return ask()
}
