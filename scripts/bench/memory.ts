import { memoryUsage } from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'

/** Bytes in memory. */
export interface Memory {
  readonly rss: number
  readonly heap: number
  /** Buffers, and what native code holds. */
  readonly external: number
}

/** When nothing is left to collect. Needs `--expose-gc`. */
export async function collectedMemory(): Promise<Memory> {
  const { gc } = globalThis
  if (gc === undefined) throw new Error('needs --expose-gc')
  // What one collection frees (a socket's handle, a finalizer's object) the next one sees as garbage.
  for (let round = 0; round < 4; round++) {
    gc()
    await delay(100)
  }
  const { rss, heapUsed, external } = memoryUsage()
  return { rss, heap: heapUsed, external }
}
