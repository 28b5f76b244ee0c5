import { readFileSync } from 'node:fs'
import { ConfigError, loadConfig } from '../src/config.js'
import { journalFolder } from '../src/journal/journal.js'
import type { Transferred } from '../src/journal/transfer.js'

/** The journal of the server that these settings start: the environment's and those of .env. */
function journalOfSettings(): string {
  let text = ''
  try {
    text = readFileSync('.env', 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new ConfigError(`.env cannot be read: ${(error as Error).message}`)
  }
  return journalFolder(loadConfig(process.env, text).dataDir)
}

/** Runs a command whose one argument is a file, and says in one line what it did or why it could not. */
export async function runWithJournal(
  command: string,
  verb: string,
  transfer: (dir: string, file: string) => Promise<Transferred>,
): Promise<void> {
  const [file, ...others] = process.argv.slice(2)
  if (file === undefined || others.length > 0) {
    process.stderr.write(`usage: npm run ${command} -- FILE\n`)
    process.exitCode = 2
    return
  }
  try {
    const dir = journalOfSettings()
    const { records, open, aside } = await transfer(dir, file)
    process.stdout.write(`${verb}: ${records} records, ${open} open calls, ${aside} set aside (${dir})\n`)
  } catch (error) {
    process.stderr.write(`${command}: ${(error as Error).message.replace(/\s*\n\s*/g, ' ')}\n`)
    process.exitCode = 1
  }
}
