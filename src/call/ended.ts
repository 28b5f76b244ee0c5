import { CallerGone } from '../esl/errors.js'

/** Its route has nothing more to do with the call: it was refused, given back or transferred. Its CDR says which. */
export class Ended extends Error {}

/** Whether a verb, or a route, merely found its call over: how most calls end, and no fault. */
export function saysOver(error: unknown): boolean {
  return error instanceof Ended || error instanceof CallerGone
}
