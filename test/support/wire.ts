import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Test } from 'tap'

const directory = new URL('../../../test/recordings/transcripts/', import.meta.url)

export interface Transcript {
  readonly name: string
  /** What FreeSWITCH wrote, chunk by chunk as it was read. */
  readonly received: readonly Buffer[]
  /** What the server wrote, packet by packet. */
  readonly sent: readonly string[]
}

/** One frame as the plainest possible reading of the recording gives it: what the parser is compared with. */
export interface WireFrame {
  readonly head: string
  readonly contentType: string
  readonly body: string
}

export const transcripts: readonly Transcript[] = readdirSync(directory)
  .filter((file) => file.endsWith('.jsonl'))
  .sort()
  .map((file) => {
    const lines = readFileSync(new URL(file, directory), 'utf8').trim().split('\n')
    const steps = lines.map((line) => JSON.parse(line) as { from: string; text: string })
    const said = (who: string) => steps.filter(({ from }) => from === who).map(({ text }) => text)
    return {
      name: file.replace('.jsonl', ''),
      received: said('freeswitch').map((text) => Buffer.from(text)),
      sent: said('server'),
    }
  })

/** Those in which FreeSWITCH connected to the server. */
export const outboundTranscripts = transcripts.filter(({ name }) => !name.startsWith('inbound-'))

export function transcript(name: string): Transcript {
  const found = transcripts.find((candidate) => candidate.name === name)
  if (found === undefined) throw new Error(`no transcript ${name}`)
  return found
}

export function bytesOf({ received }: Transcript): Buffer {
  return Buffer.concat(received)
}

/** Reads a whole conversation that is known to be well-formed. */
export function framesIn(conversation: Buffer): WireFrame[] {
  const frames: WireFrame[] = []
  let rest = conversation
  while (rest.length > 0) {
    const blank = rest.indexOf('\n\n')
    const head = rest.subarray(0, blank).toString()
    const contentType = /^Content-Type: (.*)$/m.exec(head)?.[1] ?? ''
    const length = Number(/^Content-Length: (.*)$/m.exec(head)?.[1] ?? 0)
    frames.push({ head, contentType, body: rest.subarray(blank + 2, blank + 2 + length).toString() })
    rest = rest.subarray(blank + 2 + length)
  }
  return frames
}

/** Many times faster than a deep comparison with a report. */
export function areSame(seen: readonly WireFrame[], expected: readonly WireFrame[]): boolean {
  return (
    seen.length === expected.length &&
    seen.every(({ head, body }, index) => head === expected[index]?.head && body === expected[index].body)
  )
}

/** Frames out of all the recordings. */
export function recordedFrames(isWanted: (frame: WireFrame) => boolean): WireFrame[] {
  return transcripts.flatMap((recorded) => framesIn(bytesOf(recorded)).filter(isWanted))
}

/** @param at offsets into the bytes, in any order */
export function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const edges = [0, ...at.map((offset) => offset % bytes.length), bytes.length].sort((a, b) => a - b)
  return edges.slice(1).map((edge, index) => bytes.subarray(edges[index], edge))
}

/** The event of a recorded frame as FreeSWITCH meant it, by another way than the code's. */
export function headersIn(plain: string): Map<string, string> {
  const headers = new Map<string, string>()
  for (const line of plain.trimEnd().split('\n')) {
    const [, name = '', value = ''] = /^([^:]+): (.*)$/.exec(line) ?? []
    headers.set(name, decodeURIComponent(value))
  }
  return headers
}

/** Both ends of a TCP connection on the loopback, closed when the test is over. */
export async function socketPair(t: Test): Promise<{ near: Socket; far: Socket }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const far = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [[near]] = (await Promise.all([once(server, 'connection'), once(far, 'connect')])) as [
    [Socket],
    unknown,
  ]
  server.close()
  far.on('error', () => undefined)
  t.teardown(() => {
    near.destroy()
    far.destroy()
  })
  return { near, far }
}

/** So many turns of the event loop are asked one after the other; then a pause, for others need the core. */
const turns = 50
const pauseMs = 1

/** Asks again and again until it is so. The test's own time-out ends it otherwise. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let asked = 1; !(await isSo()); asked++) await (asked < turns ? nextTurn() : delay(pauseMs))
}

setFlagsFromString('--expose-gc')
export const collectGarbage = runInNewContext('gc') as () => void

/** Resolves when nothing holds the object any more; a leak shows as the test's time-out. */
export async function isCollected(reference: WeakRef<object>): Promise<void> {
  while (reference.deref() !== undefined) {
    await nextTurn()
    collectGarbage()
  }
}
