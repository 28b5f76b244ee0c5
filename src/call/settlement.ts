import type { Logger } from 'pino'
import type { Channel } from '../channel/channel.js'
import type { Connection } from '../esl/connection.js'
import { CallerGone } from '../esl/errors.js'
import type { Event } from '../esl/event.js'
import { Released } from '../esl/listener.js'
import { JournalError } from '../journal/errors.js'
import type { Announcer } from './announcer.js'
import type { Dialler } from './legs/dialler.js'
import { documentText, fromHangupComplete } from './legs/leg-document.js'
import { mayOutlive, outliving } from './legs/outliving.js'
import type { SessionDependencies } from './session-dependencies.js'
import type { Story } from './story.js'

/** A call with which its session has nothing more to do. */
export interface EndedCall {
  readonly story: Story
  readonly channel: Channel
  readonly connection: Connection
  /** Undefined: nothing was dialled. */
  readonly dialler: Dialler | undefined
  readonly announcer: Announcer
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
  if (channel.hasHungUp && (await hasLegThatTalksOn(call, finalEvent, dependencies)))
    return handOver(call, finalEvent, dependencies)
  if (story.lastWord(finalEvent) === undefined && !facts.couldForge) return leave(call, dependencies)
  await record(call, finalEvent, dependencies)
  if (identity.tenant !== undefined) dependencies.limits.end(identity.tenant.id, facts.uuid)
  await letGo(channel)
}

async function letGo(channel: Channel): Promise<void> {
  await channel.exit().catch((error: unknown) => {
    if (!(error instanceof CallerGone)) throw error
  })
}

/**
 * A called leg is charged up to its own end, of which its caller's events tell only nearly. It may be far: transferred,
 * it talks on without its caller.
 */
async function hasLegThatTalksOn(
  { story, log }: EndedCall,
  finalEvent: Event | undefined,
  { elsewhere }: SessionDependencies,
): Promise<boolean> {
  const { legs, facts, identity, isDocumented } = story
  const { switchName } = facts
  const final = story.lastWord(finalEvent)
  const mayHaveLeft = mayOutlive({ legs: legs.all, final })
  if (!mayHaveLeft && legs.areExact) return false
  if (!isDocumented && !(mayHaveLeft ? elsewhere.isLinked(switchName) : elsewhere.hears(switchName)))
    return false
  if (!mayHaveLeft && (await story.exactLegs(legsWordMs))) return false
  const maxTalkMs = (identity.tenant?.maxCallSeconds ?? 0) * 1000
  const end = { switchName, legs: legs.all, final, isDocumented, maxTalkMs }
  const { isWaitedFor, there } = await outliving(end, elsewhere)
  for (const uuid of there) elsewhere.lookAfter(switchName, uuid)
  if (isWaitedFor) log.info('a called leg talks on without its caller: the record waits for its end')
  // Its talk with the caller is over, and so is the leg: its word is on the way.
  else if (mayHaveLeft) await story.exactLegs(legsWordMs)
  return isWaitedFor
}

/**
 * The session is over, the call is not: what is known of it is kept on the disk, and whoever tells of the last leg's end
 * completes it (SecondSource), here or after this server has died.
 */
async function handOver(
  call: EndedCall,
  finalEvent: Event | undefined,
  dependencies: SessionDependencies,
): Promise<void> {
  const { story, channel, dialler, log } = call
  const { journal, limits, elsewhere } = dependencies
  const { uuid } = story.facts
  const document = story.isDocumented || finalEvent === undefined ? undefined : fromHangupComplete(finalEvent)
  try {
    await Promise.all([
      journal.openCall(uuid, story.openRecord()),
      document && journal.keepDocument(uuid, uuid, documentText(document)),
    ])
  } catch (error) {
    if (!(error instanceof JournalError)) throw error
    log.error({ err: error }, 'a leg that talks on is charged to the end of its talk with the caller')
    return record(call, finalEvent, dependencies)
  }
  if (story.identity.tenant !== undefined) limits.end(story.identity.tenant.id, uuid)
  elsewhere.lost(uuid, { mayTalkForMs: dialler?.mayTalkForMs ?? 0, isOver: true })
  await letGo(channel)
}

/** The socket is lost, or let go, and nobody has said how the call ended: it goes on elsewhere, or is over. */
async function leave(call: EndedCall, dependencies: SessionDependencies): Promise<void> {
  const { story, channel, connection, dialler, isOpen, log } = call
  const { journal, limits, elsewhere } = dependencies
  const { uuid } = story.facts
  const { hasHungUp: isOver } = channel
  dialler?.leave()
  if (story.isGivenBack) log.info('the call was given back to its dialplan')
  else if (connection.closedBy instanceof Released)
    log.info({ reason: connection.closedBy.message }, 'the call goes on elsewhere')
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
  { story, dialler, announcer, log }: EndedCall,
  finalEvent: Event | undefined,
  { events, elsewhere, recordings }: SessionDependencies,
): Promise<void> {
  // Of a call that was transferred its dialplan knows which one it took.
  if (!story.isTransferred) story.gateway = dialler?.lastGateway
  const { missingRecording: path } = story
  if (finalEvent !== undefined && path !== undefined)
    log.warn({ path }, 'the call was not recorded: see the log of the switch')
  const unlocated = story.record(finalEvent)
  const record = recordings?.located(unlocated) ?? unlocated
  try {
    await events.append(record, announcer.details)
  } catch (error) {
    // The log is then the only place that has it.
    log.error({ err: error, record }, 'the call record could not be kept')
    return
  }
  elsewhere.recorded(record)
  const { tenant, direction, hangupCause, durationMs, billedMs, cost, refusal } = record
  log.info({ tenant, direction, hangupCause, durationMs, billedMs, cost, refusal }, 'call over')
}
