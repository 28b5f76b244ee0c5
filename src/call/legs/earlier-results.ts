import type { BridgeResult } from '../../channel/channel.js'
import type { AttemptResult } from '../state.js'

/**
 * What was dialled for a call before its present server had it. Its route begins anew then: what it dials is answered
 * from what became of it.
 */
export class EarlierResults {
  readonly #results: readonly AttemptResult[]
  /** How many of them the route has been told of. */
  #told = 0

  /** @param results as they were when this server got the call */
  constructor(results: readonly AttemptResult[]) {
    this.#results = [...results]
  }

  /**
   * After a talk nothing is dialled again, even if the routing has changed since.
   * @returns undefined: it was not dialled before
   */
  of(target: string): BridgeResult | undefined {
    const left = this.#results.slice(this.#told)
    const result = left.find((each) => each.target === target) ?? left.find(({ isConnected }) => isConnected)
    if (result === undefined) return undefined
    this.#told = this.#results.indexOf(result) + 1
    const { isConnected, cause, sipStatus } = result
    return { isConnected, cause, ...(sipStatus !== undefined && { sipStatus }) }
  }
}
