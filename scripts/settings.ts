import { readFileSync } from 'node:fs'
import { ConfigError, loadConfig, type Config } from '../src/config.js'

/** The settings of the server that is started here: the environment's and those of .env. */
export function configOfSettings(): Config {
  let text = ''
  try {
    text = readFileSync('.env', 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new ConfigError(`.env cannot be read: ${(error as Error).message}`)
  }
  return loadConfig(process.env, text)
}
