import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Child } from './child.js'
import { ServiceError } from './errors.js'
import { keptPort } from './files.js'

const FIRST_RESTART_MS = 200
const LONGEST_RESTART_MS = 30_000

export interface Supervised {
  /** Asks it to end; resolves when it has. May be called twice. @throws ServiceError if it does not end */
  stop: () => Promise<void>
}

export interface SupervisorOptions {
  /** What it is, as logs and errors name it. */
  name: string
  /** Starts it on the same address as before, unless the signal gives it up; resolves when it is ready. */
  start: (signal: AbortSignal) => Promise<Child>
  /** Asks for an orderly end, and for one at once. */
  stopSignal: NodeJS.Signals
  abortSignal: NodeJS.Signals
  /** How long an orderly end may take, in ms, before it is ended at once. */
  stopMs: number
  log: Logger
}

/**
 * Keeps a server process running: one that dies while calls are up is started again, with a growing delay,
 * for as long as it takes. The first start is not tried again: rejects when it fails.
 */
export async function supervise(options: SupervisorOptions): Promise<Supervised> {
  const { name, start, log } = options
  const stopping = new AbortController()
  const isStopping = (): boolean => stopping.signal.aborted
  let child = await start(stopping.signal)

  const watch = async (): Promise<void> => {
    for (;;) {
      const end = await child.ended
      if (isStopping()) return
      log.error({ how: end.how, why: end.why }, `${name} ended unexpectedly, it is started again`)
      const restarted = await restart()
      if (!restarted) return
      child = restarted
    }
  }
  const restart = async (): Promise<Child | undefined> => {
    for (let wait = FIRST_RESTART_MS; ; wait = Math.min(wait * 2, LONGEST_RESTART_MS)) {
      await delay(wait, undefined, { signal: stopping.signal }).catch(() => undefined)
      if (isStopping()) return undefined
      try {
        const restarted = await start(stopping.signal)
        if (isStopping()) restarted.kill(options.stopSignal)
        log.info(`${name} runs again`)
        return restarted
      } catch (error) {
        if (isStopping()) return undefined
        log.error({ err: error }, `${name} could not be started again, the next try follows`)
      }
    }
  }
  const watched = watch()

  const end = async (): Promise<void> => {
    stopping.abort()
    child.kill(options.stopSignal)
    if (await settles(watched, options.stopMs)) return
    log.warn(`${name} did not end within ${options.stopMs} ms, it is ended at once`)
    child.kill(options.abortSignal)
    if (!(await settles(child.ended, 10_000))) {
      throw new ServiceError(`${name} (process ${String(child.pid)}) does not end: look at it, or kill it`)
    }
  }
  let ending: Promise<void> | undefined
  return { stop: () => (ending ??= end()) }
}

/**
 * Starts a server on the port that a file keeps, or on another one if it is taken; also if it was taken
 * between the look and the start.
 */
export async function onFreePort(
  portFile: string,
  start: (port: number) => Promise<Supervised>,
): Promise<{ port: number; supervised: Supervised }> {
  for (let tries = 1; ; tries++) {
    const port = await keptPort(portFile)
    try {
      return { port, supervised: await start(port) }
    } catch (error) {
      const isTaken = error instanceof Error && /TCP.*socket|listening on port/i.test(error.message)
      if (!isTaken || tries === 3) throw error
    }
  }
}

/** Whether a promise settles within so many milliseconds. */
async function settles(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const timer = new AbortController()
  const late = delay(ms, 'late', { signal: timer.signal }).catch(() => undefined)
  try {
    return (await Promise.race([promise, late])) !== 'late'
  } finally {
    timer.abort()
  }
}
