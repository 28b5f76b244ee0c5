import { openSync } from 'node:fs'
import type { DestinationStream, Logger } from 'pino'
import { destination, pino } from 'pino'
import { ConfigError } from './config.js'

/**
 * What the fields of a line are called: `err` an error, with its stack; `reason` why, in words; `cause` a hangup cause;
 * `call` and `leg` uuids; `tenant`, `gateway` and `switch` their names; `remoteAddress` who connected.
 */

export interface LogOptions {
  /** `info`, or another of pino's levels. */
  level: string
  /** Besides the console. Appended to. */
  file?: string | undefined
  /** Where the console is; the process's standard output unless a test says otherwise. */
  console?: Sink
}

/** A place for lines, which may hold some back until it is flushed. */
export type Sink = DestinationStream & Partial<Pick<Output, 'flush' | 'flushSync'>>

export interface Log {
  logger: Logger
  /** Writes a text to the console, in its turn between the lines of the log. Nothing in it is masked. */
  print: (text: string) => void
  /** Opens the file again, after logrotate has moved it away. */
  reopen: () => void
}

/** Lines are written together, at most so many bytes or so many ms of them: each write is a turn of a thread. */
const GATHERED_BYTES = 4096
const GATHERED_MS = 100
/** `{"level":40` and above, which are not to wait: a warning may be the last that is heard. */
const URGENT = /^\{"level":[4-9]/

/** Lines that wait for a console or a disk that does not take them, in bytes, before further ones are dropped. */
const MAX_WAITING = 16 * 1024 * 1024

/**
 * Opens the log: JSON lines on the console, always, and in a file. Secrets are masked on both, wherever in a
 * line they are. What cannot be written later (the disk is full, nobody reads) is dropped: it holds up no call.
 * @throws ConfigError if the file cannot be opened
 */
export function openLog({ level, file, console = toConsole() }: LogOptions): Log {
  let inFile: Output | undefined = file === undefined ? undefined : toFile(file)
  // pino calls it by itself after a fatal line.
  const flushSync = (): void => {
    for (const one of [console, inFile]) one?.flushSync?.()
  }
  const both: DestinationStream & { flushSync: () => void } = {
    write: (line) => {
      const text = maskSecrets(line)
      console.write(text)
      inFile?.write(text)
      if (URGENT.test(line)) for (const one of [console, inFile]) one?.flush?.()
    },
    flushSync,
  }
  const logger = pino({ level }, both)
  process.once('exit', flushSync)
  const print = (text: string): void => {
    console.write(text)
  }
  const reopen = (): void => {
    if (file === undefined) return
    try {
      const next = toFile(file)
      inFile?.end()
      inFile = next
    } catch (error) {
      logger.error({ err: error }, 'the log goes on in the file that was open')
    }
  }
  return { logger, print, reopen }
}

function toConsole(): Output {
  return output(1)
}

/** Opened here and now, so that what is logged just before an early exit is written too. */
function toFile(file: string): Output {
  try {
    return output(openSync(file, 'a'))
  } catch (error) {
    const why = (error as Error).message
    throw new ConfigError(
      `LOG_FILE is ${JSON.stringify(file)}; allowed is a file that can be written to (${why})`,
    )
  }
}

type Output = ReturnType<typeof destination>

function output(fd: number): Output {
  const stream = destination({
    dest: fd,
    sync: false,
    minLength: GATHERED_BYTES,
    periodicFlush: GATHERED_MS,
    maxLength: MAX_WAITING,
  })
  stream.on('error', () => undefined)
  return stream
}

const URL_PASSWORD = /(:\/\/[^\s:/@"]*):[^\s/@"]+@/g
const BEARER = /(bearer )[A-Za-z0-9._~+/=-]+/gi
const NAMED = /("(?:password|passwd|secret|adminKey|apiKey|authorization)":)"(?:[^"\\]|\\.)*"/gi

/** Replaces passwords in URLs, bearer tokens and the values of fields named as secrets by `***`. */
export function maskSecrets(line: string): string {
  return line.replace(URL_PASSWORD, '$1:***@').replace(BEARER, '$1***').replace(NAMED, '$1"***"')
}
