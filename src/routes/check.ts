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
  checkSounds(menu.invalidPrompt, 'invalidPrompt')
  checkSounds(menu.noInputPrompt, 'noInputPrompt')
  const chosen = Object.entries(menu.choices).flatMap(([digits, choice]): Reference[] => {
    if ('repeat' in choice) return []
    if ('menu' in choice) return [{ kind: 'menu', id: choice.menu }]
    return checkStep(routes, choice, `choices.${digits}`)
  })
  const otherwise = menu.otherwise === undefined ? [] : checkStep(routes, menu.otherwise, 'otherwise')
  return [...chosen, ...otherwise]
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
