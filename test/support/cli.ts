import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Out } from '../../src/cli/io.js'
import { run } from '../../src/cli/program.js'

const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))

export interface CliRun {
  readonly child: ChildProcess
  readonly out: () => string
  readonly err: () => string
  /** The exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>
}

export interface CliPlace {
  readonly env: Readonly<Record<string, string>>
  /** Default: where this process runs. */
  readonly cwd?: string
}

/** The command line in a process of its own; its output is no terminal. */
export function startCli(args: readonly string[], { env, cwd }: CliPlace, input = ''): CliRun {
  const child = spawn(process.execPath, [main, ...args], {
    ...(cwd !== undefined && { cwd }),
    env: { PATH: process.env.PATH, ...env },
  })
  let out = ''
  let err = ''
  child.stdout.on('data', (text: Buffer) => (out += text.toString()))
  child.stderr.on('data', (text: Buffer) => (err += text.toString()))
  child.stdin.end(input)
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string)
  return { child, out: () => out, err: () => err, ended }
}

export interface Told {
  readonly code: number | string
  readonly out: string
  readonly err: string
}

export async function cli(args: readonly string[], place: CliPlace, input?: string): Promise<Told> {
  const started = startCli(args, place, input)
  const code = await started.ended
  return { code, out: started.out(), err: started.err() }
}

/** What was written to a terminal, or to what is none. */
class Screen implements Out {
  readonly isTTY: boolean
  readonly columns = 200
  readonly rows = 10
  text = ''
  readonly #onWrite: () => void

  constructor(isTTY: boolean, onWrite: () => void) {
    this.isTTY = isTTY
    this.#onWrite = onWrite
  }

  write(text: string): boolean {
    this.text += text
    this.#onWrite()
    return true
  }

  once(): void {
    // It takes whatever comes.
  }

  // What the progress bar asks of a terminal.
  cork(): void {
    // It is shown at once.
  }

  uncork(): void {
    // It is shown already.
  }
}

interface Watching {
  /** Ctrl-C. */
  readonly signal?: AbortSignal
  /** Called with all that was shown so far. */
  readonly onWrite?: (out: string) => void
}

/** The command line in this process, before a terminal. */
export function onTerminal(args: readonly string[], place: CliPlace, watching: Watching = {}): Promise<Told> {
  return runHere(args, place, true, watching)
}

/** The command line in this process, as `cli` and at a tenth of its price. */
export function piped(args: readonly string[], place: CliPlace): Promise<Told> {
  return runHere(args, place, false, {})
}

async function runHere(
  args: readonly string[],
  { env, cwd = '/' }: CliPlace,
  isTTY: boolean,
  { signal = new AbortController().signal, onWrite }: Watching,
): Promise<Told> {
  const stdout: Screen = new Screen(isTTY, () => onWrite?.(stdout.text))
  const stderr = new Screen(isTTY, () => undefined)
  const code = await run(args, { env, cwd, stdin: nothing(), stdout, stderr, signal })
  return { code, out: stdout.text, err: stderr.text }
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // Nobody types.
}
