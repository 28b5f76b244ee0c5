import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { SingleBar } from 'cli-progress'
import { usageError } from './errors.js'
import type { Io } from './io.js'
import { oneLine } from './text.js'

/** The name that stands for what is piped in. */
const standardInput = '-'

/**
 * What is in a file, with a bar that shows how much of it went away already, if somebody looks.
 *
 * @throws CliError when it cannot be read
 */
export async function* readFile(
  { stdin, stderr }: Pick<Io, 'stdin' | 'stderr'>,
  path: string,
): AsyncGenerator<Uint8Array> {
  const isPiped = path === standardInput
  const bytes = isPiped ? undefined : await sizeOf(path)
  const isSeen = stderr.isTTY === true && bytes !== undefined && bytes > 0
  const bar = isSeen ? barOn(stderr, path) : undefined
  bar?.start(bytes ?? 0, 0)
  try {
    const content: AsyncIterable<Uint8Array> = isPiped
      ? stdin
      : (createReadStream(path) as AsyncIterable<Buffer>)
    for await (const chunk of content) {
      yield chunk
      bar?.increment(chunk.length)
    }
  } catch (error) {
    throw unreadable(path, error)
  } finally {
    bar?.stop()
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    const found = await stat(path)
    if (found.isDirectory()) throw new Error('it is a folder')
    return found.size
  } catch (error) {
    throw unreadable(path, error)
  }
}

function barOn(stream: Io['stderr'], path: string): SingleBar {
  return new SingleBar({
    stream: stream as NodeJS.WritableStream,
    format: `${oneLine(path)} {bar} {percentage} % | {value} of {total} bytes | {eta_formatted} left`,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    etaBuffer: 50,
  })
}

function unreadable(path: string, error: unknown): Error {
  return usageError(`${path} cannot be read: ${(error as Error).message}`)
}
