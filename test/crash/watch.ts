import type { CrashCall } from './crash-call.js'
import type { LineListener } from './line.js'
import type { Signals } from './signals.js'

const uuidPattern = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g
const numberPattern = /0281\d{6}/g
/** The names of the server's prepared statements, which each question to PostgreSQL has in it. */
const reserveStatement = 'reserve_credit'
const commitStatement = 'commit_records'
/** ReadyForQuery, idle: what PostgreSQL ends its answer with. */
const isDone = Buffer.from('Z\0\0\0\x05I', 'latin1')

/** Sees on the lines to PostgreSQL and Redis which call is where. */
export class Watch {
  readonly #signals: Signals
  readonly #byUuid = new Map<string, CrashCall>()
  readonly #byCaller = new Map<string, CrashCall>()
  readonly #placing = new Map<object, CrashCall[]>()
  readonly #committing = new Map<object, CrashCall[]>()

  constructor(signals: Signals) {
    this.#signals = signals
  }

  add(call: CrashCall): void {
    this.#byUuid.set(call.uuid, call)
    this.#byCaller.set(call.caller, call)
  }

  readonly redis: LineListener = {
    onRequest: (connection, bytes) => {
      for (const [number] of bytes.toString('latin1').matchAll(numberPattern)) {
        const call = this.#byCaller.get(number)
        if (call !== undefined) call.isScreened = true
      }
      // Behind the lists come the limits, by the call's own name: they are the last that Redis is asked.
      const named = this.#named(bytes)
      if (named.length > 0)
        this.#placing.set(connection, [...(this.#placing.get(connection) ?? []), ...named])
      this.#signals.poke()
    },
    onAnswered: (connection) => {
      for (const call of this.#placing.get(connection) ?? []) call.askedEnough()
      this.#placing.delete(connection)
      this.#signals.poke()
    },
    onClosed: (connection) => {
      this.#placing.delete(connection)
    },
  }

  readonly postgres: LineListener = {
    onRequest: (_, bytes) => {
      if (!bytes.includes(reserveStatement)) return
      for (const call of this.#named(bytes)) call.askedForCredit()
      this.#signals.poke()
    },
    onForwarded: (connection, bytes) => {
      if (!bytes.includes(commitStatement)) return
      const calls = this.#named(bytes)
      for (const call of calls) call.isCommitting = true
      this.#committing.set(connection, calls)
      this.#signals.poke()
    },
    onAnswered: (connection, bytes) => {
      if (bytes.subarray(-isDone.length).equals(isDone)) this.#ended(connection, true)
    },
    onClosed: (connection) => {
      this.#ended(connection, false)
    },
  }

  #ended(connection: object, isCommitted: boolean): void {
    for (const call of this.#committing.get(connection) ?? []) {
      call.isCommitting = false
      // One that was refused is given once more, and seen then.
      if (isCommitted) call.isCommitted = true
    }
    this.#committing.delete(connection)
    this.#signals.poke()
  }

  #named(bytes: Buffer): CrashCall[] {
    const named = new Set<CrashCall>()
    for (const [uuid] of bytes.toString('latin1').matchAll(uuidPattern)) {
      const call = this.#byUuid.get(uuid)
      if (call !== undefined) named.add(call)
    }
    return [...named]
  }
}
