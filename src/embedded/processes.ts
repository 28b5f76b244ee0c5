import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** The command line of a process, its words joined by a blank; '' when it is gone, a zombie, or hidden. */
export function commandLine(pid: number): string {
  return inspect(pid, 'cmdline', 'command=').replaceAll('\0', ' ').trim()
}

/**
 * When a process started, as an opaque text: together with its id it names one process for ever, while the
 * id alone is given out again after a reboot or in the next container. '' when there is no such process (what has
 * died and only waits for its parent is none).
 */
export function startTime(pid: number): string {
  if (process.platform !== 'linux') return inspect(pid, 'stat', 'lstart=').trim()
  const stat = inspect(pid, 'stat', '')
  // The third field is its state, the 22nd the start in clock ticks since boot. The second, its name, may hold
  // blanks and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = fields[19]
  if (ticks === undefined || fields[0] === 'Z') return ''
  return `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}:${ticks}`
}

function inspect(pid: number, procFile: string, psColumn: string): string {
  try {
    return process.platform === 'linux'
      ? readFileSync(`/proc/${pid}/${procFile}`, 'utf8')
      : execFileSync('ps', ['-ww', '-o', psColumn, '-p', String(pid)], { encoding: 'utf8' })
  } catch {
    return ''
  }
}

/**
 * Waits for something that tells nobody when it happens, such as the end of a process that is not our child.
 * Answers whether it happened within `ms`.
 */
export async function waitUntil(happened: () => boolean | Promise<boolean>, ms: number): Promise<boolean> {
  const deadline = Date.now() + ms
  while (!(await happened())) {
    if (Date.now() > deadline) return false
    await delay(20)
  }
  return true
}

/** A TCP port that is free on 127.0.0.1: `wanted` if it is, else any. */
export async function freePort(wanted = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error) => {
      if (wanted === 0) reject(error)
      else resolve(freePort())
    })
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address ? address.port : 0
      server.close(() => {
        resolve(port)
      })
    })
  })
}
