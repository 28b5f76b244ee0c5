import { closeSync, openSync } from 'node:fs'
import type { DestinationStream, Logger } from 'pino'
import { destination, multistream, pino } from 'pino'
import { ConfigError } from './config.js'

export interface LogOptions {
  /** `info`, or another of pino's levels. */
  level: string
  /** Besides the console. Appended to. */
  file?: string | undefined
  /** Where the console is; the process's standard output unless a test says otherwise. */
  console?: DestinationStream
}

export interface Log {
  logger: Logger
  /** Opens the file again, after logrotate has moved it away. */
  reopen: () => void
}

/** Lines that wait for a console or a disk that does not take them, in bytes, before further ones are dropped. */
const MAX_WAITING = 16 * 1024 * 1024

/**
 * Opens the log: JSON lines on the console, always, and in a file. Secrets are masked on both, wherever in a
 * line they are. What cannot be written later (the disk is full, nobody reads) is dropped: it holds up no call.
 * @throws ConfigError if the file cannot be opened
 */
export function openLog({ level, file, console = toConsole() }: LogOptions): Log {
  const outputs = [console]
  let inFile: ReturnType<typeof destination> | undefined
  if (file !== undefined) {
    checkWritable(file)
    inFile = destination({ dest: file, append: true, sync: false, maxLength: MAX_WAITING })
    inFile.on('error', () => undefined)
    outputs.push(inFile)
  }
  const streams = outputs.map((stream) => ({ level: 'trace' as const, stream: masked(stream) }))
  const logger = pino({ level }, multistream(streams))
  return { logger, reopen: () => inFile?.reopen() }
}

function toConsole(): DestinationStream {
  const out = destination({ dest: 1, sync: false, maxLength: MAX_WAITING })
  out.on('error', () => undefined)
  return out
}

function checkWritable(file: string): void {
  try {
    closeSync(openSync(file, 'a'))
  } catch (error) {
    const why = (error as Error).message
    throw new ConfigError(
      `LOG_FILE is ${JSON.stringify(file)}; allowed is a file that can be written to (${why})`,
    )
  }
}

function masked(stream: DestinationStream): DestinationStream {
  return {
    write: (line) => {
      stream.write(maskSecrets(line))
    },
  }
}

const URL_PASSWORD = /(:\/\/[^\s:/@"]*):[^\s/@"]+@/g
const BEARER = /(bearer )[A-Za-z0-9._~+/=-]+/gi
const NAMED = /("(?:password|passwd|secret|adminKey|apiKey|authorization)":)"(?:[^"\\]|\\.)*"/gi

/** Replaces passwords in URLs, bearer tokens and the values of fields named as secrets by `***`. */
export function maskSecrets(line: string): string {
  return line.replace(URL_PASSWORD, '$1:***@').replace(BEARER, '$1***').replace(NAMED, '$1"***"')
}
