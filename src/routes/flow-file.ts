import { Type, type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { firstFault } from '../common/first-fault.js'
import { addPlanEntry, changePlanEntry, findPlanEntry } from '../store/number-plan.js'
import { completeMenu, flowId, hoursSchema, menuSchema, planEntrySchema } from '../store/flow-schemas.js'
import { saveHours, saveMenu } from '../store/flows.js'
import { ChangeRefused } from '../store/refusal.js'
import { setReferences } from '../store/references.js'
import { within, type Db } from '../store/within.js'
import { checkMenu, checkStep } from './check.js'
import type { Routes } from './registry.js'

const named = <T extends Parameters<typeof Type.Record>[1]>(schema: T) => Type.Record(flowId, schema)

/** A tenant's call flows in one document: menus and hours by their ids, and entries of the number plan. */
const flowFile = Type.Object(
  {
    menus: Type.Optional(named(menuSchema)),
    hours: Type.Optional(named(hoursSchema)),
    numbers: Type.Optional(Type.Array(planEntrySchema)),
  },
  { additionalProperties: false },
)
const validator = Compile(flowFile)

export interface SavedFlows {
  readonly menus: number
  readonly hours: number
  readonly numbers: number
}

/**
 * Saves all of a document or nothing of it: new menus, hours and entries, and those in the place of which they come.
 * What else the tenant has stays as it is.
 *
 * @throws ChangeRefused: where it is wrong, in words
 */
export async function saveFlows(
  db: Db,
  routes: Routes,
  tenantId: string,
  document: unknown,
): Promise<SavedFlows> {
  const { menus = {}, hours = {}, numbers = [] } = checked(document)
  await within(db, async (client) => {
    for (const [id, sent] of Object.entries(hours)) await saveHours(client, tenantId, { ...sent, id })
    const complete = Object.entries(menus).map(([id, sent]) => completeMenu(id, sent))
    // Menus may lead to one another: all of them are there before it is looked whether they are.
    for (const menu of complete) await saveMenu(client, tenantId, menu, [])
    for (const menu of complete)
      await setReferences(client, tenantId, { kind: 'menu', id: menu.id }, checkMenu(routes, menu))
    for (const [at, entry] of numbers.entries()) {
      const references = checkStep(routes, entry.step, `numbers.${at}.step`)
      const before = await findPlanEntry(client, tenantId, entry)
      if (before === undefined) await addPlanEntry(client, tenantId, entry, references)
      else await changePlanEntry(client, tenantId, before.id, entry, references)
    }
  })
  return { menus: Object.keys(menus).length, hours: Object.keys(hours).length, numbers: numbers.length }
}

function checked(document: unknown): Static<typeof flowFile> {
  if (validator.Check(document)) return document
  throw new ChangeRefused('invalid', firstFault(validator, document))
}
