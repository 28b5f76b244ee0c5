import { Type, type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { firstFault } from '../common/first-fault.js'
import { addPlanEntry, changePlanEntry, findPlanEntry } from '../store/number-plan.js'
import { completeHours, completeMenu } from '../store/flow-document.js'
import { flowId, hoursSchema, menuSchema, planEntrySchema } from '../store/flow-schemas.js'
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
    for (const [id, sent] of Object.entries(hours)) await saveHours(client, tenantId, completeHours(id, sent))
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
  const read = mapped(document, (part, value) => [
    part,
    part === 'menus' || part === 'hours' ? asSpelledNow(value) : value,
  ])
  if (validator.Check(read)) return read
  throw new ChangeRefused('invalid', firstFault(validator, read))
}

/** Files of earlier days have these names in them. */
const earlier: ReadonlyMap<string, string> = new Map([
  ['timeoutMs', 'timeout_ms'],
  ['interDigitMs', 'inter_digit_ms'],
  ['bargeIn', 'barge_in'],
  ['directDial', 'direct_dial'],
  ['invalidPrompt', 'invalid_prompt'],
  ['noInputPrompt', 'no_input_prompt'],
  ['timeZone', 'time_zone'],
])

function asSpelledNow(flows: unknown): unknown {
  return mapped(flows, (id, flow) => [id, mapped(flow, (name, value) => [earlier.get(name) ?? name, value])])
}

function mapped(value: unknown, entry: (name: string, value: unknown) => [string, unknown]): unknown {
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => entry(name, inner)))
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
