import { InvalidArgumentError, type Command } from 'commander'
import { utcMoment } from '../common/moment.js'
import { Client } from './client.js'
import { usageError } from './errors.js'
import type { Io } from './io.js'
import { Output } from './output.js'
import { readSettings } from './settings.js'

/** What a command works with. */
export interface Context {
  readonly client: Client
  readonly output: Output
  readonly io: Io
}

/** Makes the context of a command as it was called. @throws CliError */
export type Open = (command: Command) => Context

interface CommonOptions {
  readonly url?: string
  readonly json?: boolean
}

export function opener(io: Io): Open {
  return (command) => {
    const { url, json } = command.optsWithGlobals<CommonOptions>()
    return { client: new Client(readSettings(io, url), io.signal), output: new Output(io, json), io }
  }
}

/** The options that every command has. */
export function common(command: Command): Command {
  return command
    .option('--url <url>', 'where the server is, instead of LINGER_URL')
    .option('--json', 'JSON on a terminal, too')
}

/** For an option that takes a whole number of at least 1. */
export function whole(text: string): number {
  if (!/^[1-9][0-9]{0,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number above 0.')
  return Number(text)
}

/** For an option that takes a moment. @returns RFC 3339, UTC */
export function moment(text: string): string {
  const isMoment = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d))?$/.test(text)
  const read = isMoment ? utcMoment(text) : undefined
  if (read === undefined)
    throw new InvalidArgumentError(
      'It must be a day or a moment: 2025-01-31 (from 0 o’clock UTC) or 2025-01-31T08:00:00Z.',
    )
  return read
}

/** @throws CliError */
export function refuseBoth(one: unknown, other: unknown, names: string): void {
  if (one !== undefined && other !== undefined) throw usageError(`${names} do not go together`)
}
