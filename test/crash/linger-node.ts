import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { screen, startProcess, type ServerProcess } from '../support/server-process.js'
import type { Destination } from '../support/switch/dialplan.js'

export interface NodeOptions {
  readonly name: string
  /** Its data and its log are in there, in a folder of its name. */
  readonly dir: string
  readonly eslPort: number
  readonly httpPort: number
  readonly env: Readonly<Record<string, string>>
}

/** Between an end and the next start, as whatever supervises it waits. In ms. */
const restartMs = 100
const shiftedClock = new URL('shifted-clock.js', import.meta.url)
/** Why a start may fail here. */
const serviceTrouble = /PostgreSQL|Redis|ECONN|connection|terminat|starting up|recovery/i

/** A Linger in a process of its own, which its supervisor starts again on the same ports and data. */
export class LingerNode {
  readonly name: string
  readonly esl: Destination
  readonly http: string
  readonly dataDir: string
  readonly logFile: string
  /** Starts that failed, because a service was away. */
  failedStarts = 0
  /** How far ahead its clock is from its next start on. */
  clockShiftMs = 0
  readonly #dir: string
  readonly #env: NodeJS.ProcessEnv
  #run: ServerProcess | undefined
  #starting: Promise<boolean> | undefined
  #ended: Promise<unknown> | undefined
  #isUp = false

  constructor({ name, dir, eslPort, httpPort, env }: NodeOptions) {
    this.name = name
    this.#dir = join(dir, name)
    this.dataDir = join(this.#dir, 'data')
    this.logFile = join(this.#dir, 'log')
    this.esl = { host: '127.0.0.1', port: eslPort }
    this.http = `127.0.0.1:${httpPort}`
    this.#env = {
      ...env,
      ESL_LISTEN: `127.0.0.1:${eslPort}`,
      HTTP_LISTEN: this.http,
      DATA_DIR: this.dataDir,
      LOG_FILE: this.logFile,
    }
  }

  get isUp(): boolean {
    return this.#isUp
  }

  /**
   * Starts it, again and again while a service is away.
   * @returns whether it serves; false when it was killed meanwhile: whoever did that starts it
   */
  start(): Promise<boolean> {
    return (this.#starting ??= this.#start())
  }

  kill(): void {
    const run = this.#run
    this.#run = undefined
    this.#starting = undefined
    this.#isUp = false
    run?.child.kill('SIGKILL')
  }

  /** Its process does nothing any more, but its sockets stand. */
  pause(): void {
    this.#run?.child.kill('SIGSTOP')
  }

  resume(): void {
    this.#run?.child.kill('SIGCONT')
  }

  /** An orderly end. @returns its exit code, or the signal that ended it; undefined when it did not run */
  async stop(): Promise<number | string | undefined> {
    const run = this.#run
    this.#run = undefined
    this.#starting = undefined
    this.#isUp = false
    run?.child.kill('SIGTERM')
    return run?.ended
  }

  #environment(): NodeJS.ProcessEnv {
    if (this.clockShiftMs === 0) return this.#env
    const shifted = {
      NODE_OPTIONS: `--import=${shiftedClock.href}`,
      CRASH_CLOCK_SHIFT_MS: String(this.clockShiftMs),
    }
    return { ...this.#env, ...shifted }
  }

  async #start(): Promise<boolean> {
    await mkdir(this.#dir, { recursive: true })
    // One that was killed is started again when it is dead.
    await this.#ended
    for (;;) {
      const run = startProcess(this.#dir, this.#environment())
      this.#run = run
      this.#ended = run.ended
      const failure = await Promise.race([
        screen(run).then(
          () => undefined,
          () => run.err(),
        ),
        run.ended.then(() => run.err()),
      ])
      if (this.#run !== run) return false
      if (failure === undefined) {
        this.#isUp = true
        return true
      }
      // Only for a service that is away is another try worth while.
      if (!serviceTrouble.test(failure)) throw new Error(`the server ${this.name} does not start: ${failure}`)
      this.failedStarts++
      await delay(restartMs)
      if (this.#run !== run) return false
    }
  }
}
