import { randomUUID } from 'node:crypto'
import { bgapi } from './command.js'
import { isRefusal } from './connection.js'
import { CommandRefused, ReplyTimeout } from './errors.js'
import type { Event } from './event.js'
import type { LinkConnection } from './link-connection.js'

interface Job {
  readonly resolve: (result: string) => void
  readonly reject: (error: unknown) => void
  readonly verb: string
  readonly timer: NodeJS.Timeout
}

/** API commands that run in the background, each by the Job-UUID that it was given here. */
export class Jobs {
  readonly #running = new Map<string, Job>()

  /**
   * @param args each a single token. @returns the result, as its own BACKGROUND_JOB tells it
   * @throws UnsafeArgument; CommandRefused for a result or a reply of `-ERR`; LinkDown; ReplyTimeout
   */
  async run(
    connection: LinkConnection,
    name: string,
    args: readonly string[],
    timeoutMs: number,
  ): Promise<string> {
    const jobUuid = randomUUID()
    const command = bgapi(name, args, jobUuid)
    const verb = `bgapi ${name}`
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#end(jobUuid)?.reject(new ReplyTimeout(verb, timeoutMs))
      }, timeoutMs)
      this.#running.set(jobUuid, { resolve, reject, verb, timer })
      connection.send(command).catch((error: unknown) => this.#end(jobUuid)?.reject(error))
    })
  }

  /** @param event a BACKGROUND_JOB; those of other clients come too */
  hear(event: Event): void {
    const job = this.#end(event.peek('Job-UUID') ?? '')
    if (!job) return
    const result = event.body ?? ''
    if (isRefusal(result)) job.reject(new CommandRefused(job.verb, result.trim()))
    else job.resolve(result)
  }

  /** Gives all of them up: their results will not come. */
  abandon(error: Error): void {
    for (const jobUuid of [...this.#running.keys()]) this.#end(jobUuid)?.reject(error)
  }

  #end(jobUuid: string): Job | undefined {
    const job = this.#running.get(jobUuid)
    clearTimeout(job?.timer)
    this.#running.delete(jobUuid)
    return job
  }
}
