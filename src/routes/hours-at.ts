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
  const parts = new Map(
    formatOf(timeZone)
      .formatToParts(at)
      .map(({ type, value }) => [type, Number(value)]),
  )
  const part = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0
  return {
    day: Date.UTC(part('year'), part('month') - 1, part('day')),
    minute: part('hour') * 60 + part('minute'),
  }
}

/** One takes longer to make than a thousand calls to use. */
const formats = new Map<string, Intl.DateTimeFormat>()

function formatOf(timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      ...{ timeZone, calendar: 'gregory', numberingSystem: 'latn', hourCycle: 'h23' },
      ...{ year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric' },
    })
    formats.set(timeZone, format)
  }
  return format
}
