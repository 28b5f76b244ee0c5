import type { Route } from './call.js'
import { dial } from './dial.js'

/** Every route by the name under which the dialplan's `socket host:port/NAME` finds it. */
export const routes: ReadonlyMap<string, Route> = new Map([dial].map((route) => [route.name, route]))

/** For a call whose dialplan names no route. */
export const defaultRoute = dial
