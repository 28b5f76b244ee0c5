import { readFileSync } from 'node:fs'
import type { Action, Destination } from '../support/switch/dialplan.js'

const file = new URL('../../../dialplan/linger.xml', import.meta.url)
const pattern = /<action application="([^"]*)"(?: data="([^"]*)")?\s*\/>/g
const actions = [...readFileSync(file, 'utf8').matchAll(pattern)].map(
  ([, application = '', argument = '']) => ({
    application,
    argument,
  }),
)

/** What dialplan/linger.xml does with every call, the servers in the order in which they are tried. */
export function lingerDialplan(servers: readonly Destination[]): readonly Action[] {
  const hosts = servers.map(({ host, port }) => `${host}:${port}`).join('|')
  return actions.map(({ application, argument }) => ({
    application,
    argument: application === 'socket' ? argument.replace(/^[^ /]+/, hosts) : argument,
  }))
}

/** How many servers a call may have, one after the other. */
export const socketActions = actions.filter(({ application }) => application === 'socket').length
