import type pg from 'pg'
import { saveFlows } from '../../src/routes/flow-file.js'
import { Routes } from '../../src/routes/registry.js'
import { getMenu } from '../../src/store/flows.js'

/** The demo's call flow: a number of the tenant, and the menu of two levels that it leads to. */
export const menuNumber = '02873001000'

const tone = 'tone_stream://%(200,100,500);loops=2'
const ring = (extension: string) => ({ route: 'ring', arguments: { extensions: [extension] } })

const demoFlows = {
  menus: {
    demo: {
      name: 'Demo',
      prompt: [tone],
      choices: { '1': { menu: 'demo-sales' }, '2': ring('1000') },
    },
    'demo-sales': {
      name: 'Demo: sales',
      prompt: [tone],
      choices: { '1': ring('1001'), '*': { menu: 'demo' } },
    },
  },
  numbers: [
    {
      ...{ direction: 'inbound', kind: 'exact', number: menuNumber },
      step: { route: 'menu', arguments: { menu: 'demo' } },
    },
  ],
}

/** @returns whether they were not there before */
export async function saveDemoFlows(pool: pg.Pool): Promise<{ readonly isNew: boolean }> {
  if ((await getMenu(pool, 'demo', 'demo')) !== undefined) return { isNew: false }
  await saveFlows(pool, new Routes(), 'demo', demoFlows)
  return { isNew: true }
}
