import type { CallAction, LiveCallView, Outcome } from '../common/live-call.js'
import { BegunCalls } from './remote/begun-calls.js'
import type { LegDocument } from './legs/leg-document.js'
import type { Story } from './story.js'

/** A call that has its session here. */
export interface LiveCall {
  readonly uuid: string
  /** Its dialplan does something else with it: the session only waits for its end. */
  readonly isLeft?: boolean
  /** A leg of it is over, as the switch tells beside the session's own socket. */
  hear(document: LegDocument): void
  /** What `Journal.openCall` should be told by now; undefined: it knows. */
  checkpoint(): unknown
  /**
   * The call has come back on another socket of this node: the session says nothing more, and writes no record.
   * @param heir of the session that has it now
   */
  supersede(heir: Story): void
  /** As it is now: made when somebody asks. */
  describe(): Omit<LiveCallView, 'node'>
  /** What an admin wants done with it. */
  act(action: CallAction): Promise<Outcome>
}

/** The calls that have their sessions on this node. */
export class LiveCalls {
  readonly #calls = new Map<string, LiveCall>()
  readonly #new = new WeakSet<LiveCall>()
  /** How many came lately. */
  readonly begun = new BegunCalls()

  get all(): Iterable<LiveCall> {
    return this.#calls.values()
  }

  get(uuid: string): LiveCall | undefined {
    return this.#calls.get(uuid)
  }

  has(uuid: string): boolean {
    return this.#calls.has(uuid)
  }

  /** Whether the call's session sees to what talks in it. */
  serves(uuid: string): boolean {
    const call = this.#calls.get(uuid)
    return call !== undefined && call.isLeft !== true
  }

  /** @param isNew no server had it before: it counts as one that begins; @param tenant whose it is */
  add(call: LiveCall, isNew = false, tenant?: string): void {
    if (isNew) {
      this.begun.add(tenant)
      this.#new.add(call)
    }
    this.#calls.set(call.uuid, call)
  }

  /** Whether no server had it before. */
  isNew(uuid: string): boolean {
    const call = this.#calls.get(uuid)
    return call !== undefined && this.#new.has(call)
  }

  /** What the journal is to be told. */
  checkpoints(): { uuid: string; data: unknown }[] {
    return [...this.#calls.values()].flatMap((call) => {
      const data = call.checkpoint()
      return data === undefined ? [] : [{ uuid: call.uuid, data }]
    })
  }

  /** Does nothing for a call that another session has taken over since. */
  delete(call: LiveCall): void {
    if (this.#calls.get(call.uuid) === call) this.#calls.delete(call.uuid)
  }
}
