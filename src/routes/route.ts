import type { TSchema } from 'typebox'
import type { Reference, Step } from '../store/flow.js'
import type { Arguments, Call } from './call.js'

/** One thing that a caller can reach. When `run` returns and the caller is still there, the call is hung up. */
export interface Route<A = Arguments> {
  readonly name: string
  /** What it does, in one line for an admin. */
  readonly summary: string
  /** Of its arguments: an object of JSON schema. Without it there are none. */
  readonly arguments?: TSchema
  /** The argument that the rest of a path fills: `socket 127.0.0.1:9000/menu/main` is `{ menu: 'main' }`. */
  readonly pathArgument?: string
  /** Variables of the channel that it reads, so that reading them costs nothing. */
  readonly variables?: readonly string[]
  /** What its arguments refer to: refused when it is saved and that is missing. */
  references?(args: A): readonly Reference[]
  /** Sounds in its arguments. */
  sounds?(args: A): readonly string[]
  /** Steps in its arguments, which are checked as it is itself. */
  steps?(args: A): readonly Step[]
  /**
   * What it reaches with these arguments that is not the call's tenant's own, in words: an admin who is the tenant's
   * alone cannot lead calls there. The steps in its arguments are asked for themselves.
   *
   * @param domain the tenant's; @returns undefined: nothing. Default: the route itself, with all of its arguments
   */
  reaches?(args: A, domain: string | undefined): string | undefined
  /** The session does not look the caller up, nor refuse a blacklisted one: the route does. Default true. */
  readonly isScreened?: boolean
  /** Nobody's calls are refused; if not, it serves them too. Default true. */
  readonly needsTenant?: boolean
  /**
   * It only looks at a call and gives it back to its dialplan: nothing is told of the call, and an emergency call is
   * given back too, which in the place of every other route is dialled by us. Default false.
   */
  readonly givesBack?: boolean
  run(call: Call, args: A): Promise<void>
}
