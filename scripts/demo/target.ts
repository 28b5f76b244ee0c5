import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { loadConfig, type Config } from '../../src/config.js'
import { readIfThere } from '../../src/embedded/files.js'
import type { Address } from '../../src/setting-values.js'
import type { Destination } from '../../test/support/switch/dialplan.js'

/** The running server, as this machine's settings (environment and .env) tell of it. */
export interface Target {
  readonly esl: Destination
  /** `http://127.0.0.1:8080` */
  readonly http: string
  /** With the password. */
  readonly databaseUrl: string
  readonly adminKey: string | undefined
}

/** @throws Error, one line: what is missing, and what to do */
export async function findTarget(): Promise<Target> {
  const config = loadConfig(process.env, (await readIfThere('.env')) ?? '')
  const esl = reachable('ESL_LISTEN', config.eslListen)
  if (isIP(esl.host) === 4 && !config.eslAllow.check(esl.host, 'ipv4'))
    throw new Error(`ESL_ALLOW does not let ${esl.host} in, from where the demo's switch comes: add it`)
  const http = reachable('HTTP_LISTEN', config.httpListen)
  const base = `http://${isIP(http.host) === 6 ? `[${http.host}]` : http.host}:${http.port}`
  await checkServer(base)
  return {
    esl,
    http: base,
    databaseUrl: config.databaseUrl ?? (await embeddedUrl(config)),
    adminKey: config.adminKey,
  }
}

/** What a program on this machine connects to when a server listens there. */
function reachable(setting: string, { host, port }: Address): Address {
  if (port === 0)
    throw new Error(`${setting} is port 0, any free one: name one, so that the demo finds the server`)
  if (host === '0.0.0.0') return { host: '127.0.0.1', port }
  return host === '::' ? { host: '::1', port } : { host, port }
}

async function checkServer(base: string): Promise<void> {
  const health = await ask(`${base}/health`)
  const isLinger = health?.status === 200 && (health.body as { status?: unknown }).status === 'ok'
  if (!isLinger) {
    const found = health === undefined ? 'no Linger answers' : 'another program answers'
    throw new Error(`${found} at ${base} (HTTP_LISTEN): start it in another terminal, npm start`)
  }
  const ready = await ask(`${base}/ready`)
  if (ready?.status !== 200)
    throw new Error(
      `Linger is not ready: ${(ready?.body as { detail?: string } | undefined)?.detail ?? 'it went'}`,
    )
}

/** @returns undefined when nobody answers */
async function ask(url: string): Promise<{ status: number; body: unknown } | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5_000) })
    return { status: response.status, body: await response.json().catch(() => ({})) }
  } catch {
    return undefined
  }
}

/** Of the embedded PostgreSQL, whose password and port the server keeps in files of its own user. */
async function embeddedUrl({ dataDir }: Config): Promise<string> {
  const kept = (name: string) => readFile(join(dataDir, 'postgres', name), 'utf8')
  try {
    const [password, port] = await Promise.all([kept('password'), kept('port')])
    return `postgres://linger:${password.trim()}@127.0.0.1:${port.trim()}/linger`
  } catch (error) {
    throw new Error(
      `the server's database is not found below DATA_DIR ${dataDir} (${(error as Error).message}): ` +
        'run the demo in the folder, with the settings and as the user of the server',
      { cause: error },
    )
  }
}
