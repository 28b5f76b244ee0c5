import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import { Journal, journalFolder } from '../../src/journal/journal.js'
import type { LingerNode } from './linger-node.js'
import { Published } from './published.js'
import type { World } from './world.js'

/** How long calls may take to end by themselves, in ms: the guard timer, and the longest talk. */
const endMs = 45_000
/** How long records may take to PostgreSQL after that, in ms. */
const deliveryMs = 45_000
/** After the last one: what is doubled would come in this time. */
const quietMs = 4_000

export interface Settled {
  /** Calls that do not end. */
  readonly endless: number
  /** Servers that did not end as they should when they were asked to. */
  readonly unclean: readonly string[]
  /** What is left in the journals, which nobody delivers. */
  readonly undelivered: readonly string[]
  /** What RabbitMQ was told; undefined: there is none. */
  readonly published: Published | undefined
}

/** Lets every call end and every record arrive; then stops the servers, and looks into their journals. */
export async function settle(world: World, say: (text: string) => void): Promise<Settled> {
  await world.signals.when(() => world.calls.every(({ hasEnded }) => hasEnded), endMs)
  const endless = world.calls.filter(({ hasEnded }) => !hasEnded).length
  for (const call of world.calls.filter(({ hasEnded }) => !hasEnded))
    say(
      `${call.uuid} goes on (${String(call.state)}, meant to talk for ${call.plan.talkMs ?? 0} ms)\n    ${call.lastCommands}`,
    )
  say(`the calls have ended${endless === 0 ? '' : ` but for ${endless}`}`)
  await world.allDone()
  await untilDelivered(world)
  say('the records have arrived')
  const published = await readPublished(world)
  if (published !== undefined) say('the events have arrived')
  const unclean: string[] = []
  for (const node of world.nodes) {
    const end = await node.stop()
    if (end !== undefined && end !== 0) unclean.push(`the server ${node.name} ended with ${end}`)
  }
  const undelivered = (await Promise.all(world.nodes.map(leftIn))).flat()
  return { endless, unclean, undelivered, published }
}

async function readPublished({ rabbit, pool }: World): Promise<Published | undefined> {
  if (rabbit === undefined) return undefined
  const published = new Published()
  await published.read(rabbit.url, async () => {
    const { rows } = await pool.query<{ uuid: string }>(
      `SELECT call_uuid AS uuid FROM cdrs WHERE tenant_id IS NOT NULL`,
    )
    return rows.map(({ uuid }) => uuid)
  })
  return published
}

async function untilDelivered(world: World): Promise<void> {
  const expected = world.calls.filter(({ hasReachedServer }) => hasReachedServer).length
  const end = performance.now() + deliveryMs
  for (;;) {
    const { rows } = await world.pool.query<{ cdrs: number; held: number }>(
      `SELECT (SELECT count(*)::integer FROM cdrs) AS cdrs, (SELECT count(*)::integer FROM reservations) AS held`,
    )
    const [{ cdrs, held } = { cdrs: 0, held: 0 }] = rows
    if (cdrs >= expected && held === 0) break
    if (performance.now() > end) return
    await delay(250)
  }
  await delay(quietMs)
}

async function leftIn({ name, dataDir }: LingerNode): Promise<string[]> {
  if (!existsSync(dataDir)) return []
  const journal = await Journal.open({ dir: journalFolder(dataDir), log: pino({ level: 'silent' }) })
  // What was set aside is due again once the journal is opened: the server does so, too.
  const counts: readonly (readonly [string, number])[] = [
    ['records', journal.pending],
    ['records set aside', journal.aside],
    ['open calls', journal.openCalls().length],
    ['documents', [...journal.documents()].length],
    ['events', journal.events.pending],
  ]
  await journal.close()
  return counts.flatMap(([what, count]) =>
    count === 0 ? [] : [`the journal of ${name} still has ${count} ${what}`],
  )
}
