import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

interface Question {
  readonly id: number
  readonly name: string
  readonly argument: unknown
}

interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: string
}

type Handlers = Readonly<Record<string, (argument: never) => unknown>>

/** A process of its own that answers questions, one reply each. */
export class Worker {
  readonly #child: ChildProcess
  readonly #waiting = new Map<
    number,
    { resolve: (result: unknown) => void; reject: (error: Error) => void }
  >()
  #lastId = 0

  private constructor(child: ChildProcess, name: string) {
    this.#child = child
    child.on('message', (answer: Answer) => {
      const waiting = this.#waiting.get(answer.id)
      this.#waiting.delete(answer.id)
      if (answer.error === undefined) waiting?.resolve(answer.result)
      else waiting?.reject(new Error(`${name}: ${answer.error}`))
    })
    child.once('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values())
        reject(new Error(`${name} ended (${signal ?? `exit code ${code ?? '?'}`})`))
      this.#waiting.clear()
    })
  }

  /** @param module compiled, beside this one; it calls `answer` */
  static async start(
    module: string,
    words: readonly string[],
    nodeOptions: readonly string[],
  ): Promise<Worker> {
    const child = fork(new URL(module, import.meta.url), words, {
      execArgv: [...nodeOptions],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    const worker = new Worker(child, words[0] ?? module)
    await worker.ask('ready')
    return worker
  }

  ask(name: string, argument?: unknown): Promise<unknown> {
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#child.send({ id, name, argument } satisfies Question, (error) => {
        if (error) reject(error)
      })
    })
  }

  /** Resolves when the process has ended. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.disconnect()
    await ended
  }
}

/**
 * Makes this process a worker. It ends when its parent lets go of it or dies.
 * @param end what is to be done before
 */
export function answer(handlers: Handlers, end: () => unknown): void {
  const all: Handlers = { ready: () => undefined, ...handlers }
  process.on('message', ({ id, name, argument }: Question) => {
    void reply(id, () => all[name]?.(argument as never))
  })
  process.once('disconnect', () => {
    void Promise.resolve(end()).finally(() => process.exit())
  })
  // Ctrl-C reaches every process of the terminal: the parent ends this one in its turn.
  process.on('SIGINT', () => undefined)
}

async function reply(id: number, work: () => unknown): Promise<void> {
  let message: Answer
  try {
    message = { id, result: await work() }
  } catch (error) {
    message = { id, error: error instanceof Error ? error.message : String(error) }
  }
  process.send?.(message)
}
