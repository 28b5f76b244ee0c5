import { NoRoute, type Leading, type Routes } from '../routes/registry.js'
import type { Catalog } from '../store/catalog.js'
import type { ChannelFacts } from './facts.js'
import type { Identity } from './identify.js'
import { isHandedOn, type CallState } from './state.js'

/**
 * Where a call begins: where its dialplan's `socket host:port/PATH` says, where it was when its last server died, where
 * the number plan leads its called number; else it is dialled. Emergency calls always are, but where their dialplan
 * only asks about them.
 *
 * @param state what its last server left on it
 * @throws NoRoute
 */
export function chooseRoute(
  { socketPath = '', calledNumber }: ChannelFacts,
  { tenant, direction, called, isEmergency }: Identity,
  state: CallState | undefined,
  { routes, catalog }: { readonly routes: Routes; readonly catalog: Catalog },
): Leading {
  if (isEmergency) return givingBack(socketPath, routes) ?? routes.default
  if (socketPath !== '') return routes.leadByPath(socketPath)
  if (state !== undefined && !isHandedOn(state) && state.destination === calledNumber)
    return routes.lead({ route: state.route, arguments: state.args })
  const planned = tenant && catalog.plan(tenant.id, direction, called, calledNumber)
  return planned === undefined ? routes.default : routes.lead(planned.step)
}

/** @returns undefined: no such route is named there */
function givingBack(path: string, routes: Routes): Leading | undefined {
  try {
    const leading = routes.leadByPath(path)
    return leading.route.givesBack === true ? leading : undefined
  } catch (error) {
    if (error instanceof NoRoute) return undefined
    throw error
  }
}
