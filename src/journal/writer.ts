import type { BaseLogger } from 'pino'

import type { Change, Environment } from './environment.js'
import { JournalError } from './errors.js'
import type { GiveWay } from './give-way.js'

export interface WriterOptions {
  readonly log: BaseLogger
  readonly reserveBytes: number
  readonly stallMs: number
  /** What goes before anything else is refused. */
  readonly giveWay: GiveWay
}

/**
 * What happens to a change when space runs out, and what could give way has: what others can keep or do without
 * (`open`), such as a new call, is refused; so is an `event`; so is the record of a call that was refused itself (`refusal`), when half of what is set aside is used;
 * any other `record` waits for space, and a `removal`, which makes space, is given the last of it.
 */
export type TaskKind = 'record' | 'refusal' | 'open' | 'event' | 'removal'

interface Task {
  readonly kind: TaskKind
  readonly changes: readonly Change[]
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

const checkMs = 1_000
/** How long what nobody waits for may wait for others to be written with. */
const soonMs = 20
/** A transaction. */
const maxChanges = 4_000
/** Bytes of the file that a transaction may take besides its texts, of which half may be wasted: the trees' pages. */
const transactionBytes = 2 ** 16
/** The part of what is set aside that may be used before it is measured again, which costs as much as writing. */
const unmeasured = 1 / 8
/** Parts of what is set aside: what only removals may use, and what refusals leave to the others. */
const forRemovals = 1 / 8
const forCalls = 1 / 2

/**
 * Writes to the journal's file. What is asked for while a transaction is under way makes up the next one, with
 * one flush to the disk. Keeps space set aside, and says when there is not enough.
 */
export class Writer {
  readonly #env: Environment
  readonly #options: WriterOptions
  readonly #timer: NodeJS.Timeout
  #queue: Task[] = []
  /** What nobody waits for. */
  #later: Task[] = []
  #laterTimer: NodeJS.Timeout | undefined
  #worker: Promise<void> | undefined
  #writingSince: number | undefined
  /** Bytes that may have been used since the room was measured. */
  #usedSince = Infinity
  /** Less is set aside than should be, and there is what can give way. */
  #isTight = false
  /** Why less is set aside than should be. */
  #shortage: string | undefined
  /** Why the last transaction failed. */
  #failure: string | undefined
  #reported: string | undefined
  #isClosed = false

  constructor(env: Environment, options: WriterOptions) {
    this.#env = env
    this.#options = options
    this.#secureRoom()
    this.#report()
    this.#timer = setInterval(() => {
      this.#refuse()
      this.#report()
      if (this.#queue.length > 0 || this.trouble !== undefined || this.#isTight) void this.#run()
    }, checkMs).unref()
  }

  /** Why new calls must be refused, in one line. */
  get trouble(): string | undefined {
    if (this.#writingSince !== undefined && performance.now() - this.#writingSince > this.#options.stallMs)
      return 'the disk of the journal does not answer'
    return this.#failure ?? this.#shortage
  }

  /**
   * All changes or none. Resolves when they are on the disk, however long that takes.
   *
   * @throws JournalError `full`, of what may be refused; `closed`
   */
  write(kind: TaskKind, changes: readonly Change[]): Promise<void> {
    return this.#ask(kind, changes, (task) => {
      this.#queue.push(task)
      // After a failure it is time to try again when the timer says so.
      if (this.#failure === undefined) void this.#run()
    })
  }

  /** As `write`, for what nobody waits for: it does not make the disk flush once more than others do. */
  soon(kind: TaskKind, changes: readonly Change[]): Promise<void> {
    return this.#ask(kind, changes, (task) => {
      this.#later.push(task)
      this.#laterTimer ??= setTimeout(() => {
        this.#takeLater()
        if (this.#failure === undefined) void this.#run()
      }, soonMs)
    })
  }

  #ask(kind: TaskKind, changes: readonly Change[], put: (task: Task) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) {
        reject(closed())
        return
      }
      put({ kind, changes, resolve, reject })
      this.#refuse()
    })
  }

  #takeLater(): void {
    clearTimeout(this.#laterTimer)
    this.#laterTimer = undefined
    this.#queue.push(...this.#later.splice(0))
  }

  /** Writes what the disk still takes; the rest rejects. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
    this.#takeLater()
    await this.#run()
    for (const task of this.#queue.splice(0)) task.reject(closed())
  }

  #run(): Promise<void> {
    this.#worker ??= this.#work()
    return this.#worker
  }

  async #work(): Promise<void> {
    // Those that are asked for in this turn go together.
    await Promise.resolve()
    let most = maxChanges
    while (most > 0) {
      if (this.#queue.length > 0) this.#takeLater()
      this.#secureRoom()
      this.#refuse()
      const given = most === maxChanges ? this.#options.giveWay.changes(this.#isTight) : []
      const group = this.#nextGroup(most)
      if (group.length + given.length === 0 && this.#failure === undefined) break
      const changes = [...given, ...group.flatMap((task) => task.changes)]
      for (const { text = '' } of changes) this.#usedSince += 2 * text.length
      this.#usedSince += transactionBytes
      this.#writingSince = performance.now()
      try {
        await this.#env.write(changes.length > 0 ? changes : [{ on: 'meta', key: 'probe', text: '' }])
        this.#failure = undefined
        most = maxChanges
        this.#options.giveWay.lost(given.length)
        if (given.length > 0) this.#usedSince = Infinity
        for (const task of group) task.resolve()
      } catch (error) {
        // A smaller transaction needs less room.
        most = group.length > 1 || given.length > 0 ? Math.floor(Math.min(most, changes.length) / 4) : 0
        if (most > 0) this.#queue.unshift(...group)
        else {
          // The others first, next time: it may be too large, and they need not be.
          this.#queue.push(...group)
          this.#failure = `the journal cannot be written: ${reasonOf(error)}`
        }
      } finally {
        this.#writingSince = undefined
      }
    }
    this.#refuse()
    this.#report()
    // Here and not when the promise settles: what is asked for between the two would have nobody to write it.
    this.#worker = undefined
  }

  /** Takes what may go now out of the queue: at most `most` changes, but at least one task. */
  #nextGroup(most: number): Task[] {
    const { reserveBytes } = this.#options
    const isLow = this.#shortage !== undefined && this.#env.room < reserveBytes * forRemovals
    const group: Task[] = []
    const rest: Task[] = []
    let size = 0
    for (const task of this.#queue) {
      const mayGo = !isLow || task.kind === 'removal'
      if (mayGo && (group.length === 0 || size + task.changes.length <= most)) {
        group.push(task)
        size += task.changes.length
      } else rest.push(task)
    }
    this.#queue = rest
    return group
  }

  /** Refuses what may be refused, so that what may not finds room. */
  #refuse(): void {
    const { trouble } = this
    if (trouble === undefined) return
    const isOnlyShort = trouble === this.#shortage && this.#env.room >= this.#options.reserveBytes * forCalls
    const mayStay = ({ kind, reject }: Task): boolean => {
      if (kind === 'record' || kind === 'removal' || (kind === 'refusal' && isOnlyShort)) return true
      reject(new JournalError('full', trouble))
      return false
    }
    this.#queue = this.#queue.filter(mayStay)
    this.#later = this.#later.filter(mayStay)
  }

  #secureRoom(): void {
    const isDue = this.#isTight || this.#shortage !== undefined
    if (!isDue && this.#usedSince < this.#options.reserveBytes * unmeasured) return
    this.#usedSince = 0
    // Somewhat more before it counts as enough again: calls are not let in one by one.
    const wanted = this.#options.reserveBytes * (this.#shortage === undefined ? 1 : 1.25)
    this.#isTight = false
    try {
      while (this.#env.room < wanted) this.#env.setAside()
      this.#shortage = undefined
    } catch (error) {
      // A part of it may have been possible.
      if (this.#env.room >= wanted) this.#shortage = undefined
      else if (this.#options.giveWay.canGive) this.#isTight = true
      else this.#shortage = `no space is left for the journal: ${reasonOf(error)}`
    }
  }

  /** Once when new calls must be refused, once when they need not any more. */
  #report(): void {
    const { trouble } = this
    const wasInTrouble = this.#reported !== undefined
    this.#reported = trouble
    if (trouble !== undefined && !wasInTrouble)
      this.#options.log.error({ trouble }, 'the journal takes no new calls')
    if (trouble === undefined && wasInTrouble) this.#options.log.info('the journal takes new calls again')
  }
}

function closed(): JournalError {
  return new JournalError('closed', 'the journal is closed')
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
