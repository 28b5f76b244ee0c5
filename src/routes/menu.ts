import { Type, type Static } from 'typebox'
import type { Menu } from '../store/flow.js'
import type { Call } from './call.js'
import { choiceOf, longestChoice } from './menu-choice.js'
import type { Route } from './route.js'
import { flowId } from './schemas.js'

const args = Type.Object({ menu: flowId }, { additionalProperties: false })

/** However often a caller wants to hear it: a menu ends. */
const mostRepeats = 10
/** What the caller chose when the caller chose nothing. */
const nothing = ''

/** An automated attendant: what the caller dials leads on. */
export const menu: Route<Static<typeof args>> = {
  name: 'menu',
  summary: 'Plays a menu of the tenant and goes on with what the caller chooses',
  arguments: args,
  pathArgument: 'menu',
  reaches: () => undefined,
  references: ({ menu }) => [{ kind: 'menu', id: menu }],

  async run(call, { menu: id }) {
    const menu = await call.menu(id)
    if (menu === undefined) return call.refuse('NO_ROUTE_DESTINATION', `there is no menu ${id}`)
    await call.answer()
    // Taken over in the middle of it, the caller hears it again; afterwards the call goes where it was going.
    const digits = await call.once(`choice:${id}`, () => choose(call, menu))
    call.log.debug({ menu: id, digits }, 'the caller chose')
    return goOn(call, menu, digits)
  },
}

async function goOn(call: Call, menu: Menu, digits: string): Promise<void> {
  const choice = choiceOf(menu, digits)
  if (choice === undefined) {
    const extension = digits === nothing ? undefined : call.extension(digits)
    if (extension !== undefined)
      return call.go({ route: 'ring', arguments: { extensions: [extension.number] } })
    return menu.otherwise === undefined ? call.hangup('NORMAL_CLEARING') : call.go(menu.otherwise)
  }
  // A `repeat` is only left over when there were too many of them.
  if ('repeat' in choice)
    return menu.otherwise === undefined ? call.hangup('NORMAL_CLEARING') : call.go(menu.otherwise)
  return call.go('menu' in choice ? { route: 'menu', arguments: { menu: choice.menu } } : choice)
}

/** @returns what was dialled and leads on, or `nothing` */
async function choose(call: Call, menu: Menu): Promise<string> {
  const { timeoutMs, interDigitMs, bargeIn, tries } = menu
  let wrong: readonly string[] = []
  let repeats = 0
  for (let turn = 0; turn < tries;) {
    const { digits, why } = await call.collect({
      prompt: [...wrong, ...menu.prompt],
      min: 1,
      max: longestChoice(menu),
      timeoutMs,
      interDigitMs,
      bargeIn,
      // Who dialled something wrong did not mean what comes after it.
      forgetsEarlier: turn > 0,
      terminators: Object.keys(menu.choices).some((digits) => digits.includes('#')) ? '' : '#',
    })
    const choice = why === 'matched' ? choiceOf(menu, digits) : undefined
    if (choice !== undefined && 'repeat' in choice) {
      wrong = []
      if (++repeats > mostRepeats) return nothing
      continue
    }
    if (choice !== undefined) return digits
    if (why === 'matched' && menu.directDial && call.extension(digits) !== undefined) return digits
    wrong = why === 'none' ? menu.noInputPrompt : menu.invalidPrompt
    turn++
  }
  if (wrong.length > 0) await call.play(...wrong)
  return nothing
}
