import { hasRabbit } from './rabbit-process.js'

/** Where a call can be when something dies: the columns of the matrix. */
export const states = [
  'before connect',
  'being screened',
  'being authorised',
  'ringing',
  'talking',
  'talking past a slice',
  'in a menu',
  'hanging up',
  'lingering',
  'in the journal',
  'in the commit',
] as const

/** What nobody aims at, but calls are in when something dies: the last server is dead, the next has not got it. */
export const between = ['between two servers', 'without a record'] as const

export type State = (typeof states)[number]
export type AnyState = State | (typeof between)[number]

const always = ['server', 'PostgreSQL', 'Redis', 'link'] as const

export type Component = (typeof always)[number] | 'RabbitMQ'

/** What can die. */
export const components: readonly Component[] = hasRabbit ? [...always, 'RabbitMQ'] : always
