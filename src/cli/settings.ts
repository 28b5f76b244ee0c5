import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { CliError, exitCodes, usageError } from './errors.js'
import type { Io } from './io.js'

export interface Settings {
  /** Without a slash at its end. */
  readonly url: string
  readonly key: string
}

const defaultUrl = 'http://127.0.0.1:8080'

/**
 * Where the server is and who asks it: from the environment, else from a .env where the command runs.
 *
 * @param url of the command line
 * @throws CliError
 */
export function readSettings({ env, cwd }: Pick<Io, 'env' | 'cwd'>, url?: string): Settings {
  const file = readEnvFile(join(cwd, '.env'))
  // Empty is as good as not set.
  const setting = (name: string) => env[name] || file[name] || undefined
  const key = setting('LINGER_KEY')
  if (key === undefined)
    throw new CliError(exitCodes.unauthorised, 'LINGER_KEY is not set: put an API key there, or into .env')
  if (!/^[\x21-\x7e]{1,256}$/.test(key)) throw usageError('LINGER_KEY is not an API key')
  return { url: serverUrl(url ?? setting('LINGER_URL') ?? defaultUrl), key }
}

function serverUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isServer = url !== undefined && /^https?:$/.test(url.protocol) && url.search === '' && url.hash === ''
  if (!isServer || url.username !== '' || url.password !== '')
    throw usageError(
      `${JSON.stringify(text)} is not where a server is: http://host:port or https://… is, without a password`,
    )
  return url.href.replace(/\/+$/, '')
}

function readEnvFile(path: string): NodeJS.Dict<string> {
  try {
    return parseEnv(readFileSync(path, 'utf8'))
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return {}
    throw usageError(`.env cannot be read: ${message}`)
  }
}
