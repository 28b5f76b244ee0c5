import { prompt } from '../channel/prompt.js'
import { UnsafeArgument } from '../esl/errors.js'
import type { Menu, Reference, Step } from '../store/flow.js'
import { ChangeRefused } from '../store/refusal.js'
import { NoRoute, type Routes } from './registry.js'

/** A step leads through so many others at most, one in another's arguments. */
const deepest = 10

/**
 * Checks that a step's route exists, agrees to its arguments, and can play their sounds.
 * @param field where it stands, for the message
 * @returns what it refers to, and the steps in its arguments do
 * @throws ChangeRefused `invalid`
 */
export function checkStep(routes: Routes, step: Step, field: string, depth = 0): Reference[] {
  if (depth > deepest) throw refused(field, `steps are nested more than ${deepest} deep`)
  try {
    const { route, args } = routes.lead(step)
    checkSounds(route.sounds?.(args) ?? [], field)
    const further = route.steps?.(args) ?? []
    return [
      ...(route.references?.(args) ?? []),
      ...further.flatMap((each) => checkStep(routes, each, field, depth + 1)),
    ]
  } catch (error) {
    if (error instanceof NoRoute) throw refused(field, error.message)
    throw error
  }
}

/**
 * The same of all that a menu leads to and plays.
 * @throws ChangeRefused `invalid`
 */
export function checkMenu(routes: Routes, menu: Omit<Menu, 'version'>): Reference[] {
  checkSounds(menu.prompt, 'prompt')
  checkSounds(menu.invalidPrompt, 'invalid_prompt')
  checkSounds(menu.noInputPrompt, 'no_input_prompt')
  const chosen = Object.entries(menu.choices).flatMap(([digits, choice]): Reference[] => {
    if ('repeat' in choice) return []
    if ('menu' in choice) return [{ kind: 'menu', id: choice.menu }]
    return checkStep(routes, choice, `choices.${digits}`)
  })
  const otherwise = menu.otherwise === undefined ? [] : checkStep(routes, menu.otherwise, 'otherwise')
  return [...chosen, ...otherwise]
}

/**
 * What steps lead to that is not the tenant's own, each once, in words: queues and dialplans of the switch, routes of
 * the operator.
 *
 * @param domain the tenant's
 */
export function reachedBeyond(
  routes: Routes,
  steps: readonly Step[],
  domain: string | undefined,
): ReadonlySet<string> {
  const reached = new Set<string>()
  const look = (step: Step, depth: number): void => {
    const { route, args } = routes.lead(step)
    const beyond = route.reaches
      ? route.reaches(args, domain)
      : `the route ${route.name} with ${JSON.stringify(args, inOrder)}`
    if (beyond !== undefined) reached.add(beyond)
    if (depth < deepest) for (const further of route.steps?.(args) ?? []) look(further, depth + 1)
  }
  for (const step of steps) {
    try {
      look(step, 0)
    } catch (error) {
      // It was saved when there was such a route: what it reached is not known.
      if (!(error instanceof NoRoute)) throw error
    }
  }
  return reached
}

/** PostgreSQL gives the names in an order of its own. */
function inOrder(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)))
}

/** Where a menu leads to, but for other menus. */
export function stepsOf({ choices, otherwise }: Pick<Menu, 'choices' | 'otherwise'>): Step[] {
  const chosen = Object.values(choices).filter((choice) => 'route' in choice)
  return otherwise === undefined ? chosen : [...chosen, otherwise]
}

function checkSounds(sounds: readonly string[], field: string): void {
  for (const sound of sounds) {
    try {
      prompt(sound)
    } catch (error) {
      if (error instanceof UnsafeArgument) throw refused(field, error.message)
      throw error
    }
  }
}

function refused(field: string, message: string): ChangeRefused {
  return new ChangeRefused('invalid', `${field}: ${message}`)
}

/** What whoever edits menus and number plans asks of the routes. */
export function flowRules(routes: Routes) {
  return {
    checkMenu: (menu: Omit<Menu, 'version'>) => checkMenu(routes, menu),
    checkStep: (step: Step, field: string) => checkStep(routes, step, field),
    menuReaches: (menu: Omit<Menu, 'version'>, domain: string | undefined) =>
      reachedBeyond(routes, stepsOf(menu), domain),
    stepReaches: (step: Step, domain: string | undefined) => reachedBeyond(routes, [step], domain),
  }
}
