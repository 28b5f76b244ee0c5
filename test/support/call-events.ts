import { randomUUID } from 'node:crypto'
import type { CallSnapshot } from '../../src/events/call-event.js'
import type { CallEvent } from '../../src/events/call-event.js'
import { decodeEvent } from '../../src/events/entry.js'
import type { EventShelf } from '../../src/journal/event-shelf.js'

/** An outbound call of the tenant `demo`, from 1000 over `carrier1`, that rings since a second. */
export function snapshot(changes: Partial<CallSnapshot> = {}): CallSnapshot {
  const startedAt = changes.startedAt ?? 1_795_284_156_000_000
  return {
    uuid: randomUUID(),
    tenant: 'demo',
    timeZone: 'Asia/Ho_Chi_Minh',
    direction: 'outbound',
    caller: '1000',
    called: '84901234567',
    gateway: 'carrier1',
    status: 'ringing',
    at: startedAt + 1_000_000,
    startedAt,
    answeredAt: undefined,
    takeovers: 0,
    count: 1,
    stations: { ivr: false, ring: true, queue: false, answer: false },
    ...changes,
  }
}

/** What waits in a journal. */
export function eventsIn(shelf: EventShelf): CallEvent[] {
  return shelf.read(1_000_000).map(({ text }) => JSON.parse(decodeEvent(text)!.json) as CallEvent)
}

/** Resolves when so many wait in a journal. */
export async function eventsAre(shelf: EventShelf, count: number): Promise<void> {
  while (shelf.read(count + 1).length !== count)
    await new Promise<void>((resolve) => shelf.subscribe(resolve))
}
