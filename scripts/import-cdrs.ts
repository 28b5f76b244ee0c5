import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { Address, Credentials } from '../src/setting-values.js'
import { configOfSettings } from './settings.js'

const usage = 'usage: npm run import-cdrs DIR, or npm run import-cdrs -- DIR --url http://HOST:PORT\n'

/** Files at once: they share the journal's writes to the disk. */
const atOnce = 16
/** How often a file is posted, and how long after each time, in ms: the server may be starting, or its disk full. */
const tries = 5
const pauseMs = 1_000
/** How often it is told how far it is, in ms. */
const progressMs = 2_000

interface Tally {
  taken: number
  refused: number
  failed: number
}

/**
 * Posts what mod_json_cdr saved in DIR to the running server. The files stay; what was taken before may be imported
 * again, and changes nothing.
 */
async function main(): Promise<void> {
  const given = commandLine()
  if (given === undefined) {
    process.stderr.write(usage)
    process.exitCode = 2
    return
  }
  const { dir } = given
  const { httpListen, switchAuth } = configOfSettings()
  const url = new URL('/freeswitch/cdr', given.url ?? urlOf(httpListen))
  const names = (await readdir(dir, { withFileTypes: true }))
    .filter((entry) => entry.isFile() && entry.name.endsWith('.json'))
    .map(({ name }) => name)
  const { taken, refused, failed } = await postAll(names, dir, url, switchAuth)
  process.stdout.write(
    `imported: ${taken} of ${names.length} taken, ${refused} refused, ${failed} failed (${dir})\n`,
  )
  if (refused + failed > 0) process.exitCode = 1
}

function commandLine(): { dir: string; url: string | undefined } | undefined {
  try {
    const { positionals, values } = parseArgs({
      options: { url: { type: 'string' } },
      allowPositionals: true,
    })
    const [dir, ...others] = positionals
    return dir === undefined || others.length > 0 ? undefined : { dir, url: values.url }
  } catch {
    return undefined
  }
}

async function postAll(
  names: readonly string[],
  dir: string,
  url: URL,
  auth: Credentials | undefined,
): Promise<Tally> {
  const tally: Tally = { taken: 0, refused: 0, failed: 0 }
  const progress = setInterval(() => {
    const { taken, refused, failed } = tally
    process.stderr.write(`${taken + refused + failed} of ${names.length}\n`)
  }, progressMs)
  const queue = names.values()
  const worker = async (): Promise<void> => {
    for (const name of queue) {
      const text = await readFile(join(dir, name), 'utf8')
      const answer = await post(text, url, auth)
      tally[answer.outcome]++
      if (answer.outcome !== 'taken') process.stderr.write(`${name}: ${answer.why}\n`)
    }
  }
  try {
    await Promise.all(Array.from({ length: atOnce }, worker))
  } finally {
    clearInterval(progress)
  }
  return tally
}

type Answer = { readonly outcome: 'taken' } | { readonly outcome: 'refused' | 'failed'; readonly why: string }

/** @throws Error when the server lets nobody in with these settings: no other file will fare better */
async function post(text: string, url: URL, auth: Credentials | undefined): Promise<Answer> {
  let why = ''
  for (let attempt = 0; attempt < tries; attempt++) {
    if (attempt > 0) await delay(pauseMs)
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(auth && {
            authorization: `Basic ${Buffer.from(`${auth.user}:${auth.password}`).toString('base64')}`,
          }),
        },
        body: text,
      })
      if (response.ok) return { outcome: 'taken' }
      const { detail } = (await response.json()) as { detail?: string }
      why = `${response.status}: ${detail ?? ''}`
      if (response.status === 401 || response.status === 403) throw new NotLetIn(why)
      if (response.status < 500) return { outcome: 'refused', why }
    } catch (error) {
      if (error instanceof NotLetIn) throw error
      const { message, cause } = error as Error
      why = cause instanceof Error ? cause.message || message : message
    }
  }
  return { outcome: 'failed', why }
}

class NotLetIn extends Error {}

/** Where the server that these settings start can be reached from here. */
function urlOf({ host, port }: Address): string {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}

try {
  await main()
} catch (error) {
  process.stderr.write(`import-cdrs: ${(error as Error).message.replace(/\s*\n\s*/g, ' ')}\n`)
  process.exitCode = 1
}
