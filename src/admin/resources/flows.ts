import { Type, type FastifyPluginCallbackTypebox, type TSchema } from '@fastify/type-provider-typebox'
import type { Hours, Menu } from '../../store/flow.js'
import { completeHours, completeMenu, hoursDocument, menuDocument } from '../../store/flow-document.js'
import { hoursSchema, menuSchema, step, type SentHours, type SentMenu } from '../../store/flow-schemas.js'
import {
  deleteHours,
  deleteMenu,
  getHours,
  getMenu,
  listHours,
  listMenus,
  loadHours,
  loadMenu,
  saveHours,
  saveMenu,
} from '../../store/flows.js'
import { refuseBeyond } from '../beyond.js'
import type { AdminDependencies } from '../dependencies.js'
import { flowRoutes } from '../flow-routes.js'
import { nullable } from '../schemas.js'

export const menus: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  const { pool, flows, catalog } = dependencies
  const otherwise = nullable(step, { description: 'After the last try; null: the call is hung up' })
  flowRoutes<Menu>(app, pool, {
    kind: 'menu',
    path: '/menus',
    names: { many: 'Menus', one: 'Menu' },
    words: { many: 'Menus', one: 'a menu' },
    sent: menuSchema.properties,
    changes: { ...Type.Partial(menuSchema).properties, otherwise: Type.Optional(otherwise) },
    shown: { ...Type.Required(menuSchema).properties, otherwise },
    example: exampleOf(menuSchema),
    exampleRest: {
      ...{ timeout_ms: 5000, inter_digit_ms: 2000, tries: 3, barge_in: true, direct_dial: false },
      ...{ invalid_prompt: [], no_input_prompt: [] },
    },
    list: (query) => listMenus(pool, query),
    get: getMenu,
    load: (tenant, id, version) => loadMenu(pool, tenant, id, version),
    save: (client, { request, tenant, id, document, before, expectedVersion }) => {
      const menu = completeMenu(id, document as SentMenu)
      const references = flows.checkMenu(menu)
      refuseBeyond(request, () => {
        const domain = catalog.tenant(tenant)?.domain
        return {
          now: flows.menuReaches(menu, domain),
          before: before && flows.menuReaches(before, domain),
        }
      })
      return saveMenu(client, tenant, menu, references, expectedVersion)
    },
    delete: deleteMenu,
    document: (menu) => ({ ...menuDocument(bare(menu)), otherwise: menu.otherwise ?? null }),
  })
  done()
}

export const hours: FastifyPluginCallbackTypebox<AdminDependencies> = (app, { pool }, done) => {
  const { properties } = hoursSchema
  const time_zone = nullable(Type.Required(hoursSchema).properties.time_zone, {
    description: "IANA; null: the tenant's",
  })
  flowRoutes<Hours>(app, pool, {
    kind: 'hours',
    path: '/hours',
    names: { many: 'Hours', one: 'Hours' },
    words: { many: 'Opening hours', one: 'opening hours' },
    sent: properties,
    changes: { ...Type.Partial(hoursSchema).properties, time_zone: Type.Optional(time_zone) },
    shown: { ...properties, time_zone },
    example: exampleOf(hoursSchema),
    exampleRest: { time_zone: null },
    list: (query) => listHours(pool, query),
    get: getHours,
    load: (tenant, id, version) => loadHours(pool, tenant, id, version),
    save: (client, { tenant, id, document, expectedVersion }) =>
      saveHours(client, tenant, completeHours(id, document as SentHours), expectedVersion),
    delete: deleteHours,
    document: (hours) => ({ ...hoursDocument(bare(hours)), time_zone: hours.timeZone ?? null }),
  })
  done()
}

function exampleOf(schema: TSchema): object {
  const [example = {}] = (schema as { examples?: object[] }).examples ?? []
  return example
}

/** Without what is no part of its document. */
function bare<T extends { readonly id: string; readonly version: number; readonly tenantId?: string }>(
  flow: T,
): Omit<T, 'id' | 'version' | 'tenantId'> {
  const fields = Object.entries(flow).filter(([name]) => !['id', 'version', 'tenantId'].includes(name))
  return Object.fromEntries(fields) as Omit<T, 'id' | 'version' | 'tenantId'>
}
