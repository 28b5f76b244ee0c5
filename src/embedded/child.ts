import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { ServiceError } from './errors.js'

/** How to start a process. */
export interface Launch {
  file: string
  args: readonly string[]
  env: NodeJS.ProcessEnv
  /** Given to its standard input, which is then closed. */
  input?: string
  uid?: number
  gid?: number
}

/** How a process ended: `how` in words, `why` the line of its output that tells most, '' if it wrote none. */
export interface End {
  isSuccess: boolean
  how: string
  why: string
}

/** A running process. `ended` resolves once, whatever ended it, and never rejects. */
export interface Child {
  readonly pid: number | undefined
  readonly ended: Promise<End>
  kill(signal: NodeJS.Signals): void
}

/** Lines that say what went wrong; what follows them is often only "is shut down" or a hint. */
const TELLING = /fatal|panic|error|could not|can't|cannot/i

function spawnChild(launch: Launch, onLine: (line: string) => void): Child {
  const child = spawn(launch.file, launch.args, {
    env: launch.env,
    cwd: '/',
    // A process group of its own: Ctrl-C in a terminal goes to the whole group in the foreground, and would
    // stop the database before the calls that it serves are drained.
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(launch.uid === undefined ? {} : { uid: launch.uid }),
    ...(launch.gid === undefined ? {} : { gid: launch.gid }),
  })
  let last = ''
  let telling = ''
  const read = (line: string): void => {
    last = line.trim() || last
    if (TELLING.test(line)) telling = line.trim()
    onLine(line)
  }
  eachLine(child.stdout, read)
  eachLine(child.stderr, read)
  // It may end without having read its input; how it ended is told below.
  child.stdin.on('error', () => undefined)
  child.stdin.end(launch.input)
  const ended = new Promise<End>((resolve) => {
    child.once('error', (error) => {
      resolve({ isSuccess: false, how: 'did not start', why: error.message })
    })
    // 'close', not 'exit': its last words have been read by then.
    child.once('close', (code, signal) => {
      const how = signal ? `killed by ${signal}` : `exit code ${String(code)}`
      resolve({ isSuccess: code === 0, how, why: telling || last })
    })
  })
  return { pid: child.pid, ended, kill: (signal) => child.kill(signal) }
}

/** Unlike readline, done with the last line before the process is told to have closed. */
function eachLine(stream: Readable, onLine: (line: string) => void): void {
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    lines.forEach(onLine)
  })
  stream.on('end', () => {
    if (rest !== '') onLine(rest)
  })
}

function failed({ how, why }: End): ServiceError {
  return new ServiceError(why ? `${why} (${how})` : how)
}

export interface ServerProcess {
  launch: Launch
  /** Whether this line of its output says that it takes connections. */
  isReady: (line: string) => boolean
  onLine: (line: string) => void
  /** Gives the start up: the process is ended if it is not ready by then. */
  signal?: AbortSignal
}

/**
 * Starts a server process and resolves when it is ready.
 * @throws ServiceError with the line that tells why it ended before
 */
export async function startServerProcess({ launch, isReady, onLine, signal }: ServerProcess): Promise<Child> {
  let becomesReady: () => void
  const ready = new Promise<void>((resolve) => {
    becomesReady = resolve
  })
  const child = spawnChild(launch, (line) => {
    onLine(line)
    if (isReady(line)) becomesReady()
  })
  const giveUp = (): void => {
    child.kill('SIGINT')
  }
  signal?.addEventListener('abort', giveUp, { once: true })
  const end = await Promise.race([ready, child.ended])
  signal?.removeEventListener('abort', giveUp)
  if (end) throw failed(end)
  return child
}

/** Runs a command to its end. @throws ServiceError with the line that tells why it failed */
export async function runToEnd(launch: Launch): Promise<void> {
  const end = await spawnChild(launch, () => undefined).ended
  if (!end.isSuccess) throw failed(end)
}
