import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { Launch } from './child.js'
import { ServiceError } from './errors.js'

/** `nobody`, whom every system has. */
export const NOBODY = 65534

/** As whom a server process runs, and what it must be able to reach. */
export interface Identity {
  uid: number
  gid: number
  /** Every path below which the process reads, writes or executes. */
  paths: readonly string[]
}

/**
 * Makes a launch one of a process that ends when this one does, even by SIGKILL (where util-linux's setpriv
 * is there to ask the kernel for it), and that runs as somebody else if `identity` is given (only root can).
 *
 * Somebody else cannot enter the folders that root keeps for itself, such as /root. Only if one of them is on
 * the way the process keeps one capability, to pass permissions: with no_setuid_fixup, because without it
 * access(2), by which initdb looks for its own program, would not see the capability.
 */
export function ownProcess(launch: Launch, deathSignal: string, identity?: Identity): Launch {
  const isOther = identity !== undefined && process.getuid?.() === 0
  const closed = isOther ? identity.paths.find((path) => !isReachable(path, identity)) : undefined
  if (!hasSetpriv()) {
    if (!isOther) return launch
    if (closed === undefined) return { ...launch, uid: identity.uid, gid: identity.gid }
    throw new ServiceError(
      `it may not run as root, and user ${identity.uid} may not enter ${closed}: start Linger as an ordinary ` +
        'user, or have it and its DATA_DIR where everybody may enter',
    )
  }
  const words = ['--pdeathsig', deathSignal]
  if (isOther) {
    words.push('--reuid', String(identity.uid), '--regid', String(identity.gid), '--clear-groups')
    if (closed !== undefined) {
      words.push('--securebits', '+no_setuid_fixup')
      words.push('--inh-caps', '+dac_override', '--ambient-caps', '+dac_override')
    }
  }
  return { ...launch, file: 'setpriv', args: [...words, '--', launch.file, ...launch.args] }
}

/** Whether the permissions of a path and of all folders above it let somebody in. */
export function isReachable(path: string, { uid, gid }: { uid: number; gid: number }): boolean {
  for (let at = resolve(path); ; at = dirname(at)) {
    const stat = statSync(at)
    const shift = stat.uid === uid ? 6 : stat.gid === gid ? 3 : 0
    const needed = at === resolve(path) && stat.isFile() ? 0o5 : 0o1
    if (((stat.mode >> shift) & needed) !== needed) return false
    if (at === dirname(at)) return true
  }
}

let setprivWorks: boolean | undefined

/** Whether there is a setpriv that knows --pdeathsig: util-linux has one, other systems have none or less. */
function hasSetpriv(): boolean {
  setprivWorks ??=
    spawnSync('setpriv', ['--pdeathsig', 'KILL', '--', 'true'], { stdio: 'ignore' }).status === 0
  return setprivWorks
}
