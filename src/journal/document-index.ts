/**
 * Which calls have documents, and under which keys: the append of a record takes its call's documents away, and
 * must not search the disk for them, thousands of times a second, when hardly any call has one. A document is known
 * here before it is written, because the record may be appended while it is.
 */
export class DocumentIndex {
  /** Key of the call's open record → keys of its documents. */
  readonly #keys = new Map<string, Set<string>>()

  add(call: string, ...keys: readonly string[]): void {
    if (keys.length === 0) return
    const known = this.#keys.get(call)
    if (known === undefined) this.#keys.set(call, new Set(keys))
    else for (const key of keys) known.add(key)
  }

  delete(call: string, key: string): void {
    const known = this.#keys.get(call)
    if (known?.delete(key) && known.size === 0) this.#keys.delete(call)
  }

  /** Forgets a call. @returns the keys of its documents */
  take(call: string): readonly string[] {
    const known = this.#keys.get(call)
    if (known === undefined) return none
    this.#keys.delete(call)
    return [...known]
  }
}

const none: readonly string[] = []
