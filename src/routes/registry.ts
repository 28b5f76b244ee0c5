import { Compile, type Validator } from 'typebox/compile'
import { Type, type TSchema } from 'typebox'
import { firstFault } from '../common/first-fault.js'
import type { Step } from '../store/flow.js'
import type { Arguments } from './call.js'
import { checkphone } from './checkphone.js'
import { dial } from './dial.js'
import { event } from './event.js'
import { hours } from './hours.js'
import { menu } from './menu.js'
import { play } from './play.js'
import { queue } from './queue.js'
import { reject } from './reject.js'
import { ring } from './ring.js'
import type { Route } from './route.js'
import { transfer } from './transfer.js'

const builtIn: readonly Route[] = [dial, menu, queue, ring, hours, play, reject, transfer, event].map(
  (route) => route as Route,
)

const noArguments = Type.Object({}, { additionalProperties: false })
const routeName = /^[a-z0-9][a-z0-9_-]{0,62}$/
/** Of what somebody sent, so much is shown in a message. */
const shown = 80

/** A route with arguments that it has agreed to. */
export interface Leading {
  readonly route: Route
  readonly args: Arguments
}

/** No route leads there; the message says why, in one line. */
export class NoRoute extends Error {
  override readonly name = 'NoRoute'
}

export interface RoutesOptions {
  /** The operator's. */
  readonly own?: readonly Route[]
  /** Default false. */
  readonly checkphoneRefuses?: boolean
}

/** Every route by its name: those built in, and those of the operator's own. */
export class Routes {
  readonly #routes = new Map<string, { route: Route; validator: Validator }>()

  /** @throws Error when a name is no name, or two have the same */
  constructor({ own = [], checkphoneRefuses = false }: RoutesOptions = {}) {
    for (const route of [...builtIn, checkphone(checkphoneRefuses), ...own]) {
      if (!routeName.test(route.name))
        throw new Error(`a route's name is ${quoted(route.name)}; allowed are a-z, 0-9, - and _`)
      if (this.#routes.has(route.name)) throw new Error(`there are two routes named ${route.name}`)
      const schema: TSchema = route.arguments ?? noArguments
      this.#routes.set(route.name, { route, validator: Compile(schema) })
    }
  }

  get all(): readonly Route[] {
    return [...this.#routes.values()].map(({ route }) => route)
  }

  /** For a call that nothing else leads anywhere. */
  get default(): Leading {
    return { route: this.#named('dial').route, args: {} }
  }

  /** @throws NoRoute */
  lead({ route: name, arguments: args = {} }: Step): Leading {
    const { route, validator } = this.#named(name)
    if (!validator.Check(args))
      throw new NoRoute(`the arguments of the route ${name} are not right: ${firstFault(validator, args)}`)
    return { route, args }
  }

  /**
   * @param path of `socket host:port/PATH`: `NAME`, or `NAME/REST` for a route that takes one argument from there
   * @throws NoRoute
   */
  leadByPath(path: string): Leading {
    const slash = path.indexOf('/')
    const name = slash < 0 ? path : path.slice(0, slash)
    const { route } = this.#named(name)
    if (slash < 0) return this.lead({ route: name })
    if (route.pathArgument === undefined)
      throw new NoRoute(`the route ${name} takes nothing from a path: ${quoted(path)}`)
    return this.lead({ route: name, arguments: { [route.pathArgument]: path.slice(slash + 1) } })
  }

  #named(name: string): { route: Route; validator: Validator } {
    const found = this.#routes.get(name)
    if (found === undefined) throw new NoRoute(`unknown route: ${quoted(name)}`)
    return found
  }
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, shown))
}
