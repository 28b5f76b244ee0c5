import { isTimeZone, offsetMs } from '../common/local-time.js'
import type { Hours, Span } from '../store/flow.js'

const minutesADay = 24 * 60

/**
 * Whether a place is open.
 *
 * What counts is the clock on its wall: an hour that comes twice when summer ends is open twice, one that is left out
 * when it begins is missed. A span that ends earlier than it begins ends on the next day, unless that is a holiday: on
 * a holiday, nothing but its own spans holds. The minute of a span's end is closed.
 *
 * @param timeZone IANA
 * @throws RangeError for a time zone that there is not
 */
export function stateAt(
  { week, holidays }: Pick<Hours, 'week' | 'holidays'>,
  timeZone: string,
  at: Date,
): 'open' | 'closed' {
  const { day, minute } = wallClock(timeZone, at)
  const holidayOf = (day: number) => {
    const date = new Date(day).toISOString().slice(0, 10)
    return holidays[date] ?? holidays[date.slice('YYYY-'.length)]
  }
  const spansOf = (day: number) => holidayOf(day) ?? week[isoWeekday(day)] ?? []
  const isOpen =
    spansOf(day).some((span) => {
      const { from, to } = minutesOf(span)
      return minute >= from && (minute < to || to < from)
    }) ||
    (holidayOf(day) === undefined &&
      spansOf(day - minutesADay * 60_000).some((span) => {
        const { from, to } = minutesOf(span)
        return to < from && minute < to
      }))
  return isOpen ? 'open' : 'closed'
}

function minutesOf([from, to]: Span): { readonly from: number; readonly to: number } {
  return { from: minutesOfText(from), to: minutesOfText(to) }
}

function minutesOfText(text: string): number {
  const [hours, minutes] = text.split(':').map(Number)
  return (hours ?? 0) * 60 + (minutes ?? 0)
}

const weekdays = ['7', '1', '2', '3', '4', '5', '6'] as const

/** @param day as `wallClock` has it */
function isoWeekday(day: number): (typeof weekdays)[number] {
  return weekdays[new Date(day).getUTCDay()] ?? '7'
}

/** @returns the local date as midnight of the same date in UTC, in ms since 1970, and the minutes since midnight */
function wallClock(timeZone: string, at: Date): { readonly day: number; readonly minute: number } {
  if (!isTimeZone(timeZone)) throw new RangeError(`${timeZone} is not a time zone`)
  const local = at.getTime() + offsetMs(at.getTime(), timeZone)
  const minutes = Math.floor(local / 60_000)
  const minute = ((minutes % minutesADay) + minutesADay) % minutesADay
  return { day: (minutes - minute) * 60_000, minute }
}
