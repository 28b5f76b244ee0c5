import { Compile, type Validator } from 'typebox/compile'
import { firstFault } from '../common/first-fault.js'
import { isTimeZone } from '../common/local-time.js'
import { isDay } from '../common/moment.js'
import type { Hours, Menu, PlanEntry } from './flow.js'
import { hoursDocument, menuDocument } from './flow-document.js'
import { hoursSchema, menuSchema, planEntrySchema } from './flow-schemas.js'
import { ChangeRefused, quoted } from './refusal.js'

const menuValidator = Compile(menuSchema)
const hoursValidator = Compile(hoursSchema)
const planEntryValidator = Compile(planEntrySchema)

function check(validator: Validator, value: unknown): void {
  if (!validator.Check(value)) throw new ChangeRefused('invalid', firstFault(validator, value))
  if (!isStorable(value))
    throw new ChangeRefused('invalid', 'a text in it has the character NUL, or half of a surrogate pair')
}

/** Whether PostgreSQL can hold all of its texts. */
function isStorable(value: unknown): boolean {
  if (typeof value === 'string') return !/\0|\p{Surrogate}/u.test(value)
  if (typeof value !== 'object' || value === null) return true
  return Object.entries(value).every(([name, inner]) => isStorable(name) && isStorable(inner))
}

/** @param definition without id and version; @throws ChangeRefused `invalid` */
export function checkMenuShape(definition: Omit<Menu, 'id' | 'version'>): void {
  check(menuValidator, menuDocument(definition))
}

/** The same of hours: their dates and their time zone are ones that there are. */
export function checkHoursShape(definition: Omit<Hours, 'id' | 'version'>): void {
  check(hoursValidator, hoursDocument(definition))
  const { timeZone, week, holidays } = definition
  if (timeZone !== undefined && !isTimeZone(timeZone))
    throw new ChangeRefused('invalid', `time_zone: ${quoted(timeZone)} is not a time zone`)
  for (const date of Object.keys(holidays))
    if (!isDate(date)) throw new ChangeRefused('invalid', `holidays: there is no ${date}`)
  for (const [field, days] of Object.entries({ week, holidays }))
    for (const [day, spans] of Object.entries(days))
      for (const [from, to] of spans)
        if (from === to || from === '24:00')
          throw new ChangeRefused(
            'invalid',
            `${field}.${day}: ${from} to ${to} is no time; a whole day is 00:00 to 24:00`,
          )
}

/** @param date `YYYY-MM-DD`, or `MM-DD` of any year */
function isDate(date: string): boolean {
  // A leap year has all dates that any has.
  return isDay(`${date.length === 5 ? '2000-' : ''}${date}`)
}

/** @throws ChangeRefused `invalid` */
export function checkPlanEntryShape(entry: Omit<PlanEntry, 'id' | 'tenantId'>): void {
  check(planEntryValidator, entry)
  const { kind, number, to } = entry
  if (kind !== 'range' && to !== undefined)
    throw new ChangeRefused('invalid', 'to: only a range goes from one number to another')
  if (kind !== 'prefix' && number === '')
    throw new ChangeRefused('invalid', 'number: only a prefix may be empty')
  if (kind !== 'range') return
  if (to === undefined) throw new ChangeRefused('invalid', 'to: a range needs its last number')
  const isRange = isDigits.test(number) && isDigits.test(to) && number.length === to.length && number <= to
  if (!isRange || number.startsWith('+') !== to.startsWith('+'))
    throw new ChangeRefused(
      'invalid',
      'a range goes from digits to as many digits, up to 32, that do not come before them',
    )
}

const isDigits = /^\+?[0-9]{1,32}$/
