import type { Logger } from 'pino'
import type { Channel } from '../channel/channel.js'
import type { Connection } from '../esl/connection.js'
import { CallerGone } from '../esl/errors.js'
import type { Event } from '../esl/event.js'
import { Released } from '../esl/listener.js'
import { JournalError } from '../journal/errors.js'
import type { Dialler } from './legs/dialler.js'
import type { SessionDependencies } from './session-dependencies.js'
import type { Story } from './story.js'

/** A call with which its session has nothing more to do. */
export interface EndedCall {
  readonly story: Story
  readonly channel: Channel
  readonly connection: Connection
  /** Undefined: nothing was dialled. */
  readonly dialler: Dialler | undefined
  /** The journal has it open. */
  readonly isOpen: boolean
  readonly log: Logger
}

/** How long after the caller's final event the called legs' own word is awaited: it is on its way. */
const legsWordMs = 2_000

/**
 * The end of a call, as far as this server has seen it: its record, durable, and then the end of its socket. Where
 * nobody has said how it ended it is left to those who see it elsewhere.
 */
export async function settle(
  call: EndedCall,
  finalEvent: Event | undefined,
  dependencies: SessionDependencies,
): Promise<void> {
  const { story, channel } = call
  const { facts, identity } = story
  if (channel.hasHungUp) await awaitLegs(call, dependencies)
  if (!story.isToldBy(finalEvent) && !facts.couldForge) return leave(call, dependencies)
  await record(call, finalEvent, dependencies)
  if (identity.tenant !== undefined) dependencies.limits.end(identity.tenant.id, facts.uuid)
  await channel.exit().catch((error: unknown) => {
    if (!(error instanceof CallerGone)) throw error
  })
}

/** A called leg is charged up to its own end, of which its caller's events tell only nearly. */
async function awaitLegs(
  { story, dialler, log }: EndedCall,
  { elsewhere }: SessionDependencies,
): Promise<void> {
  const { legs, facts, isDocumented } = story
  if (legs.areExact || !(isDocumented || elsewhere.hears(facts.switchName))) return
  if (await story.exactLegs(legsWordMs)) return
  const left = await Promise.all(legs.all.map(({ uuid }) => elsewhere.has(facts.switchName, uuid)))
  if (!left.includes(true)) return
  log.info('a called leg talks on without its caller: the record waits for its end')
  await story.exactLegs(dialler?.mayTalkForMs ?? 0)
}

/** The socket is lost, or let go, and nobody has said how the call ended: it goes on elsewhere, or is over. */
async function leave(call: EndedCall, dependencies: SessionDependencies): Promise<void> {
  const { story, channel, connection, dialler, isOpen, log } = call
  const { journal, limits, elsewhere } = dependencies
  const { uuid } = story.facts
  const { hasHungUp: isOver } = channel
  if (connection.closedBy instanceof Released)
    log.info({ why: connection.closedBy.message }, 'the call goes on elsewhere')
  else log.warn({ isOver }, 'the event socket ended without the final event: the call stays open')
  if (story.identity.tenant !== undefined) limits.forget(story.identity.tenant.id, uuid)
  try {
    await journal.openCall(uuid, story.openRecord(connection.lastHeardAt))
  } catch (error) {
    if (!(error instanceof JournalError)) throw error
    // One that was opened before is there as it was then; of any other nobody else would tell.
    if (!isOpen) return record(call, undefined, dependencies)
  }
  elsewhere.lost(uuid, { mayTalkForMs: dialler?.mayTalkForMs ?? 0, isOver })
}

async function record(
  { story, dialler, log }: EndedCall,
  finalEvent: Event | undefined,
  { journal, elsewhere }: SessionDependencies,
): Promise<void> {
  story.gateway = dialler?.lastGateway
  const record = story.record(finalEvent)
  try {
    await journal.append(record)
  } catch (error) {
    // The log is then the only place that has it.
    log.error({ err: error, record }, 'the call record could not be kept')
    return
  }
  elsewhere.recorded(record)
  const { tenant, direction, hangupCause, durationMs, billedMs, cost, refusal } = record
  log.info({ tenant, direction, hangupCause, durationMs, billedMs, cost, refusal }, 'call over')
}
