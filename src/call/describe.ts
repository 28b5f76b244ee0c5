import type { Channel } from '../channel/channel.js'
import type { LiveCallView, LiveState } from '../common/live-call.js'
import type { Announcer } from './announcer.js'
import type { Holding } from './holding.js'
import type { Story } from './story.js'

/** What of a session tells how its call is now. */
export interface Described {
  readonly story: Story
  readonly channel: Channel
  readonly announcer: Announcer
  readonly holding: Holding
}

/** A call as it is now; made when somebody asks, of what its session has anyway. */
export function describe(call: Described): Omit<LiveCallView, 'node'> {
  const { story, announcer } = call
  const { facts, identity, legs, recording } = story
  const state = stateOf(call)
  const { talking } = legs
  const dialled = talking?.attempt ?? (state === 'ringing' || state === 'queued' ? legs.attempt : undefined)
  return {
    uuid: facts.uuid,
    switchName: facts.switchName ?? null,
    tenant: identity.tenant?.id ?? null,
    direction: identity.direction,
    caller: cut(identity.caller),
    called: cut(identity.called),
    callerRaw: cut(facts.callerNumber),
    calledRaw: cut(facts.calledNumber),
    callerName: cut(facts.callerName),
    route: story.route ?? null,
    state,
    startedAt: facts.createdAt,
    answeredAt: announcer.answeredAt ?? null,
    bridgedAt: talking?.answeredAt === undefined ? null : talking.bridgedAt,
    bLegUuid: talking?.uuid ?? null,
    dialled: dialled?.number ?? null,
    gateway: dialled?.gateway?.name ?? null,
    isVip: story.isVip,
    recordingPath: recording?.isOver === false ? recording.path : null,
  }
}

/** A caller may say anything of himself. */
function cut(text: string): string {
  return text.slice(0, 256)
}

function stateOf({ story, channel, announcer, holding }: Described): LiveState {
  if (channel.hasHungUp) return 'ending'
  if (holding.onlyWaits) return 'handed_on'
  if (story.legs.talking?.answeredAt !== undefined) return 'talking'
  if (channel.waitsFor !== undefined) return channel.waitsFor === 'queue' ? 'queued' : 'ringing'
  if (announcer.route === undefined) return 'starting'
  return announcer.route === 'menu' ? 'menu' : 'route'
}
