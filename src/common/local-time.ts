const quarterMs = 15 * 60_000
/** Zones, and quarters of an hour of each, that are remembered. */
const most = 500

interface Zone {
  readonly format: Intl.DateTimeFormat | undefined
  /** By quarters of an hour, in which it does not change: asking for it is dear. */
  readonly offsets: Map<number, number>
}

const zones = new Map<string, Zone>()

/**
 * @param micros since 1970
 * @param timeZone IANA; one that is not known counts as UTC
 * @returns `2026-11-21 09:05:00`, cut to the second
 */
export function localTime(micros: number, timeZone: string): string {
  const ms = Math.floor(micros / 1000)
  return textOf(ms + offsetMs(ms, timeZone))
}

/** @param ms of a day that has no zone, counted as if it were UTC */
export function textOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace('T', ' ')
}

/** @param name IANA */
export function isTimeZone(name: string): boolean {
  return zone(name).format !== undefined
}

/** @returns what is added to UTC in this zone at that moment */
export function offsetMs(ms: number, timeZone: string): number {
  const { format, offsets } = zone(timeZone)
  if (format === undefined) return 0
  const quarter = Math.floor(ms / quarterMs)
  const known = offsets.get(quarter)
  if (known !== undefined) return known
  if (offsets.size >= most) offsets.clear()
  const offset = offsetIn(format.format(quarter * quarterMs))
  offsets.set(quarter, offset)
  return offset
}

/** One takes longer to make than a thousand calls to use. */
function zone(timeZone: string): Zone {
  const known = zones.get(timeZone)
  if (known !== undefined) return known
  if (zones.size >= most) zones.clear()
  const made = { format: formatOf(timeZone), offsets: new Map<number, number>() }
  zones.set(timeZone, made)
  return made
}

function formatOf(timeZone: string): Intl.DateTimeFormat | undefined {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' })
  } catch {
    return undefined
  }
}

/** @param text `11/21/2026, GMT+07:00`; seconds are those of times long past */
function offsetIn(text: string): number {
  const [, sign, hours = '0', minutes = '0', seconds = '0'] =
    /GMT([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(text) ?? []
  const offset = (Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds)) * 1_000
  return sign === '-' ? -offset : offset
}
