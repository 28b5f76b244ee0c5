import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { waitUntil } from '../../src/embedded/processes.js'

const main = fileURLToPath(new URL('../../src/main.js', import.meta.url))

/** A server in a process of its own, as `npm start` makes it. */
export interface ServerProcess {
  readonly child: ChildProcess
  readonly out: () => string
  readonly err: () => string
  /** The exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>
}

/**
 * @param cwd a folder of its own, so that no .env but the test's is read
 * @param fileBlocks how large its files may be, in blocks of 512 bytes
 */
export function startProcess(cwd: string, env: NodeJS.ProcessEnv = {}, fileBlocks?: number): ServerProcess {
  const options = {
    cwd,
    env: { PATH: process.env.PATH, HTTP_LISTEN: '127.0.0.1:0', ESL_LISTEN: '127.0.0.1:0', ...env },
  }
  // Without the test runner's loader, which ends a process at the signal that tells of the limit; Node ignores it.
  const limit = `unset NODE_OPTIONS; ulimit -f ${fileBlocks ?? 'unlimited'} && exec "$@"`
  const child =
    fileBlocks === undefined
      ? spawn(process.execPath, [main], options)
      : spawn('sh', ['-c', limit, 'sh', process.execPath, main], options)
  let out = ''
  let err = ''
  child.stdout.on('data', (text: Buffer) => (out += text.toString()))
  child.stderr.on('data', (text: Buffer) => (err += text.toString()))
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string)
  return { child, out: () => out, err: () => err, ended }
}

/** What the start screen says, once it is there. */
export async function screen(
  run: ServerProcess,
): Promise<{ http: string; esl: { host: string; port: number }; key: string | undefined }> {
  const find = (pattern: RegExp): string | undefined => pattern.exec(run.out())?.[1]
  const isThere = await waitUntil(
    () => run.out().includes('/v1/cdrs\n') || run.child.exitCode !== null,
    60_000,
  )
  const http = find(/Admin API +(\S+)/)
  const [host = '', port = ''] = find(/Calls +(\S+)/)?.split(':') ?? []
  if (!isThere || http === undefined) throw new Error(`no start screen: ${run.out()}${run.err()}`)
  return { http, esl: { host, port: Number(port) }, key: find(/Admin key +(\S+)/) }
}
