import { Command, CommanderError } from 'commander'
import { callsCommand } from './commands/calls.js'
import { cdrsCommand } from './commands/cdrs.js'
import { listCommands } from './commands/lists.js'
import { ratesCommand } from './commands/rates.js'
import { topupCommand } from './commands/topup.js'
import { common, opener } from './context.js'
import { CliError, exitCodes } from './errors.js'
import type { Io } from './io.js'
import { lines, oneLine } from './text.js'

const help = `
Settings (of the environment, or of a file .env in the current folder):
  LINGER_URL  where the server is; default http://127.0.0.1:8080
  LINGER_KEY  an API key; never on the command line, which everybody on the machine can read

Output: tables on a terminal; JSON with --json, or where the output is no terminal.

Exit codes:
  0  done
  1  refused by the server
  2  the command line or a setting is wrong; nothing was asked
  3  there is no such thing
  4  no API key, a wrong one, or one that may not do this
  5  trouble of the server or on the way to it: the same may succeed later
  130  Ctrl-C`

/**
 * Runs one command.
 *
 * @param args what stands behind the name of the program
 * @returns its exit code
 */
export async function run(args: readonly string[], io: Io): Promise<number> {
  const open = opener(io)
  const program = common(new Command('linger'))
    .description('Administers Linger, the call-control and billing server for FreeSWITCH.')
    .addHelpText('after', help)
    .showHelpAfterError('(--help tells more)')
  for (const command of [
    ...listCommands(open),
    cdrsCommand(open),
    callsCommand(open),
    topupCommand(open),
    ratesCommand(open),
  ])
    program.addCommand(command)
  const say = (text: string) => {
    io.stderr.write(lines(text))
  }
  prepare(program, io, say)
  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCodes.done
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
    if (!(error instanceof CliError)) throw error
    for (const detail of error.details) say(`${oneLine(detail)}\n`)
    say(`linger: ${oneLine(error.message)}\n`)
    return error.exitCode
  }
}

/** Commander ends the process and writes to it unless each command is told not to. */
function prepare(command: Command, { stdout }: Pick<Io, 'stdout'>, say: (text: string) => void): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => {
      stdout.write(text)
    },
    writeErr: say,
  })
  for (const inner of command.commands) prepare(inner, { stdout }, say)
}
