import { journalFolder } from '../src/journal/journal.js'
import type { Transferred } from '../src/journal/transfer.js'
import { configOfSettings } from './settings.js'

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
    const dir = journalFolder(configOfSettings().dataDir)
    const { records, open, documents, aside, events } = await transfer(dir, file)
    process.stdout.write(
      `${verb}: ${records} records, ${open} open calls, ${documents} documents of legs, ${aside} set aside, ` +
        `${events} events (${dir})\n`,
    )
  } catch (error) {
    process.stderr.write(`${command}: ${(error as Error).message.replace(/\s*\n\s*/g, ' ')}\n`)
    process.exitCode = 1
  }
}
