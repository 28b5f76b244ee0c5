import type { Stations } from '../events/call-event.js'

/** What was told of a call so far: whoever has it next goes on from there. */
export interface Announced {
  /** Counts the changes that were told since the node that has the call took it over, see CallSnapshot. */
  readonly count: number
  /** Its beginning is among them: before that it was only looked at. */
  readonly hasBegun: boolean
  readonly stations: Stations
  /** The queue that it is in, or was in last. */
  readonly queueName: string | undefined
}

const names = ['ivr', 'ring', 'queue', 'answer'] as const

export const nothingAnnounced: Announced = {
  count: 0,
  hasBegun: false,
  stations: { ivr: false, ring: false, queue: false, answer: false },
  queueName: undefined,
}

export interface AnnouncedJson {
  readonly count: number
  readonly hasBegun?: true
  readonly stations?: readonly string[]
  readonly queue?: string
}

export function announcedJson({ count, hasBegun, stations, queueName }: Announced): AnnouncedJson {
  const passed = names.filter((name) => stations[name])
  return {
    count,
    ...(hasBegun && { hasBegun }),
    ...(passed.length > 0 && { stations: passed }),
    ...(queueName !== undefined && { queue: queueName }),
  }
}

/** What is not as `announcedJson` makes it was not told. */
export function announcedFromJson(value: unknown): Announced {
  if (typeof value !== 'object' || value === null) return nothingAnnounced
  const { count, hasBegun, stations, queue } = value as Readonly<Record<string, unknown>>
  const has = (name: string): boolean => Array.isArray(stations) && stations.includes(name)
  return {
    count: typeof count === 'number' && Number.isSafeInteger(count) && count > 0 ? count : 0,
    hasBegun: hasBegun === true,
    stations: { ivr: has('ivr'), ring: has('ring'), queue: has('queue'), answer: has('answer') },
    queueName: typeof queue === 'string' ? queue : undefined,
  }
}
