import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { readIfThere, writeWhole } from './embedded/files.js'

/**
 * The name of this node among all of them, made at the first start. It stays with the data: what a node of this
 * name began, its next start goes on with.
 */
export async function nodeId(dataDir: string): Promise<string> {
  const path = join(dataDir, 'node-id')
  const kept = (await readIfThere(path))?.trim()
  if (kept !== undefined && /^[0-9a-f]{16}$/.test(kept)) return kept
  const made = randomBytes(8).toString('hex')
  await writeWhole(path, `${made}\n`)
  return made
}
