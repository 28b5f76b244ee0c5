import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { Connection, type ConnectionOptions } from '../../src/esl/connection.js'
import { socketPair } from './wire.js'

export interface Pair {
  readonly connection: Connection
  /** Our end of the wire, below the connection. */
  readonly socket: Socket
  /** FreeSWITCH's end. */
  readonly far: Socket
}

export async function connectionPair(t: Test, options?: ConnectionOptions): Promise<Pair> {
  const { near, far } = await socketPair(t)
  return { connection: new Connection(near, options), socket: near, far }
}

/** Answers each command that arrives, in order. */
export function answer(far: Socket, replyTo: (command: string) => string): void {
  let rest = ''
  far.on('data', (chunk: Buffer) => {
    const commands = (rest + chunk.toString()).split('\n\n')
    rest = commands.pop() ?? ''
    for (const command of commands) far.write(replyTo(command))
  })
}

/** What a promise came to, as something to compare. */
export async function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error: unknown) => error)
}
