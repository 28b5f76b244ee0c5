import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const SCRIPT = fileURLToPath(new URL('embedded-parent.js', import.meta.url))

/** Starts a process that holds an embedded service; answers when the service runs. */
export async function startParent(
  words: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
  script = SCRIPT,
): Promise<{ parent: ChildProcess; url: string }> {
  const parent = spawn(process.execPath, [script, ...words], { env, stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface(parent.stdout)
  const [url] = (await Promise.race([
    once(lines, 'line'),
    once(parent, 'exit').then(() => Promise.reject(new Error('ended before it was ready'))),
  ])) as [string]
  return { parent, url }
}

/** As `kill -9` does: no handler runs. Resolves when it is dead. */
export async function killHard(parent: ChildProcess): Promise<void> {
  const exit = once(parent, 'exit')
  parent.kill('SIGKILL')
  await exit
}

/**
 * The code of the error when something connects to a port by an address of this machine that is not 127.0.0.1,
 * but leads to it for a server that is bound to every address; undefined if it is let in.
 */
export async function refusalBesides(port: number): Promise<string | undefined> {
  const socket = connect(port, '127.0.0.2')
  try {
    await once(socket, 'connect')
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  } finally {
    socket.destroy()
  }
}
