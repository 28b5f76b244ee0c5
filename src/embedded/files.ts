import { randomBytes } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { freePort } from './processes.js'

/**
 * Writes a file that is, after a crash at any moment, either the old one or the new one, whole.
 * Mode 0600: everything that is kept this way is ours alone.
 */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  const draft = `${path}.new`
  await rm(draft, { force: true })
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(draft, path)
}

/** The text of a file, or undefined if there is none. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** The password that a file keeps, made at the first call. It needs no escaping in a URL or a settings file. */
export async function keptPassword(path: string): Promise<string> {
  const kept = (await readIfThere(path))?.trim()
  if (kept) return kept
  const made = randomBytes(24).toString('base64url')
  await writeWhole(path, `${made}\n`)
  return made
}

/** The port that a file keeps if it is free now, so that it is the same over restarts; else another one. */
export async function keptPort(path: string): Promise<number> {
  const kept = Number(await readIfThere(path))
  const port = await freePort(Number.isInteger(kept) && kept > 0 && kept < 65536 ? kept : 0)
  if (port !== kept) await writeWhole(path, `${port}\n`)
  return port
}
