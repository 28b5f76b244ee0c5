import type { Logger } from 'pino'
import type { Call } from '../routes/call.js'
import { saysOver } from './ended.js'

export interface Guard {
  readonly log: Logger
  /** Something can still be done with the call. */
  readonly isUp: () => boolean
  readonly route: () => string | undefined
}

/** So often may a route go on asking something of a call that is over; it then hears no more. */
const mostInVain = 100

/** What a verb gives. A route may forget to wait for it, whatever becomes of it. */
class Verb<T> extends Promise<T> {
  isAwaited = false

  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  override then<A = T, B = never>(
    onResolved?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.isAwaited = true
    return super.then(onResolved, onRejected)
  }

  /** Node ends a process for a rejection that nobody handles. */
  mayBeForgotten(): void {
    super.then(undefined, () => undefined)
  }
}

/**
 * A call as its route gets it. A route may be anybody's code, and all calls share this process: whatever it does, or
 * forgets to do, with what the verbs give, the others go on.
 */
export function guarded(call: Call, guard: Guard): Call {
  let inVain = 0
  const verb = (result: Promise<unknown>): Promise<unknown> => {
    if (guard.isUp() || ++inVain <= mostInVain) return guardedVerb(result, guard)
    result.catch(() => undefined)
    if (inVain === mostInVain + 1)
      guard.log.error(
        { route: guard.route() },
        'the route goes on after its call is over: it is left standing',
      )
    return new Promise(() => undefined)
  }
  return new Proxy(call, {
    get(target, name) {
      // On the call itself: the proxy has none of its private fields.
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      return (...args: readonly unknown[]): unknown => {
        const result: unknown = Reflect.apply(value, target, args)
        return result instanceof Promise ? verb(result) : result
      }
    },
  })
}

function guardedVerb(result: Promise<unknown>, { log, route }: Guard): Promise<unknown> {
  const verb = new Verb<unknown>((resolve, reject) => {
    result.then(resolve, (error: unknown) => {
      // A turn later: a route that catches it and asks again, for ever, would let nobody else have one.
      setImmediate(() => {
        if (!verb.isAwaited && !saysOver(error))
          log.error({ err: error, route: route() }, 'the route did not wait for what failed')

        reject(error)
      })
    })
  })
  verb.mayBeForgotten()
  return verb
}
