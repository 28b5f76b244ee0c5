import { randomUUID } from 'node:crypto'

import { CalledLeg } from './called-leg.js'
import type { FarEnd } from './far-end.js'
import { answerChannel, setPlayed } from './media.js'
import type { Session } from './session.js'

/** Why a caller leaves a queue that no agent came to: `cc_cancel_reason`. */
export type CancelReason = 'TIMEOUT' | 'NO_AGENT_TIMEOUT' | 'EXIT_WITH_KEY' | 'BREAK_OUT'

/** An agent who is rung, and takes the caller. */
export interface Agent {
  /** Default `1001@default`. */
  readonly name?: string
  /** So long after he is rung. Default 0. */
  readonly answersAfterMs?: number
  /** So long after his answer. Without it, he never does. */
  readonly hangsUpAfterMs?: number
  readonly refers?: NonNullable<FarEnd['refers']>
}

/** What becomes of a caller in a queue. */
export interface QueueScript {
  /** An agent is rung so long after the caller joined. */
  readonly agentAfterMs?: number
  readonly agent?: Agent
  /** The caller leaves so long after joining, if no agent has come by then. */
  readonly leavesAfterMs?: number
  /** Default TIMEOUT. */
  readonly why?: CancelReason
}

/** A caller who waits. */
export interface Member {
  readonly uuid: string
  readonly queue: string
  /** s since 1970 */
  readonly joinedAt: number
  readonly baseScore: number
  /** Rings an agent for this caller. */
  readonly offer: (agent: Agent) => void
}

/** mod_callcenter's queues: who waits where. */
export class Queues {
  readonly #names: readonly string[] | undefined
  readonly #members = new Set<Member>()

  /** @param names of the queues that there are; without them there is each */
  constructor(names: readonly string[] | undefined) {
    this.#names = names
  }

  has(queue: string): boolean {
    return this.#names?.includes(queue) ?? true
  }

  /** As they will be served: by the time waited plus the base score. */
  members(queue: string): readonly Member[] {
    return [...this.#members]
      .filter((member) => member.queue === queue)
      .sort((one, other) => other.baseScore - other.joinedAt - (one.baseScore - one.joinedAt))
  }

  /** An agent is free: the first caller is offered. @returns undefined: nobody waits */
  serve(queue: string, agent: Agent = {}): Member | undefined {
    const [first] = this.members(queue)
    first?.offer(agent)
    return first
  }

  /** The switch is gone, and all who waited. */
  clear(): void {
    this.#members.clear()
  }

  /** @returns how to leave */
  join(member: Member): () => void {
    this.#members.add(member)
    return () => this.#members.delete(member)
  }
}

/**
 * `callcenter QUEUE@DOMAIN`. A caller whom no agent takes is held to the recordings callcenter-queue and
 * callcenter-answered, in which the agents do not answer either; all else to mod_callcenter's source.
 */
export async function joinQueue(session: Session, queue: string): Promise<void> {
  const { clock, sw } = session
  const { variables } = session.channel
  if (!sw.queues.has(queue)) return
  if (!session.channel.isAnswered) {
    answerChannel(session, false)
    session.channel.callState = 'ACTIVE'
  }
  const joinedAt = clock.now
  variables.unset('cc_agent_found', 'cc_agent_bridged')
  variables.setAll({
    cc_side: 'member',
    cc_member_uuid: randomUUID(),
    cc_queue_joined_epoch: Math.floor(joinedAt / 1e6).toString(),
    cc_queue: queue,
  })
  const music = variables.get('cc_moh_override')
  if (music !== undefined) session.call.heard.push(music)
  const stay = new Stay(session, queue)
  const wake = await stay.end()
  setPlayed(session, Math.round((clock.now - joinedAt) / 1000))
  const { agent } = stay
  if (agent === undefined || wake === 'hangup') {
    variables.setAll({
      cc_queue_canceled_epoch: Math.floor(clock.now / 1e6).toString(),
      cc_cause: 'cancel',
      cc_cancel_reason: stay.why,
    })
    return
  }
  variables.setAll({
    cc_agent_uuid: agent.uuid,
    cc_agent_bridged: 'true',
    cc_agent: agent.variable('cc_agent'),
    cc_queue_answered_epoch: Math.floor(clock.now / 1e6).toString(),
    cc_cause: 'answered',
  })
  connect(session, agent)
}

/** One caller's waiting. */
class Stay {
  why: CancelReason = 'BREAK_OUT'
  /** The one who has answered. */
  agent: CalledLeg | undefined
  readonly #session: Session
  readonly #queue: string
  #rung: CalledLeg | undefined
  #hasLeft = false

  constructor(session: Session, queue: string) {
    this.#session = session
    this.#queue = queue
  }

  /** @returns what ended it */
  async end(): Promise<string> {
    const session = this.#session
    const { clock, call, channel } = session
    const { agentAfterMs, agent = {}, leavesAfterMs, why = 'TIMEOUT' } = call.options.queue ?? {}
    const timers = [
      ...(agentAfterMs === undefined
        ? []
        : [
            clock.after(agentAfterMs, 'script', () => {
              this.#ring(agent)
            }),
          ]),
      ...(leavesAfterMs === undefined
        ? []
        : [
            clock.after(leavesAfterMs, 'script', () => {
              this.#leave(why)
            }),
          ]),
    ]
    const leave = session.sw.queues.join({
      uuid: session.uuid,
      queue: this.#queue,
      joinedAt: Math.floor(clock.now / 1e6),
      baseScore: Number(channel.variables.get('cc_base_score') ?? 0),
      offer: (free) => {
        clock.sync()
        this.#ring(free)
      },
    })
    const { onDigit } = session
    session.onDigit = (digit) => {
      if (channel.variables.get('cc_exit_keys')?.includes(digit) === true) this.#leave('EXIT_WITH_KEY')
    }
    let wake = ''
    while (session.isReady && this.agent === undefined && !this.#hasLeft && wake !== 'break')
      wake = await session.waitInterruptibly(undefined, ['leg'])
    session.onDigit = onDigit
    leave()
    for (const timer of timers) timer.cancel()
    if (this.agent === undefined) this.#rung?.end('ORIGINATOR_CANCEL')
    return wake
  }

  #leave(why: CancelReason): void {
    this.why = why
    this.#hasLeft = true
    this.#session.signal('leg')
  }

  #ring({ name = '1001@default', answersAfterMs = 0, ...then }: Agent): void {
    const session = this.#session
    const farEnd = { answersAfterMs, ...then }
    const dialled = {
      dialString: `user/${name}`,
      number: name.split('@')[0] ?? '',
      gateway: undefined,
      variables: new Map([
        ['cc_side', 'agent'],
        ['cc_queue', this.#queue],
        ['cc_agent', name],
        ['cc_member_session_uuid', session.uuid],
      ]),
    }
    const leg = new CalledLeg(session, dialled, farEnd, (change) => {
      if (change === 'answers') this.agent ??= leg
      if (change === 'ends' && this.#rung === leg) this.#rung = undefined
      session.signal('leg')
    })
    this.#rung = leg
    session.sw.addLeg(leg)
    session.call.noteLeg(leg)
    leg.dial()
  }
}

/** The two talk, which no application does any more. */
function connect(session: Session, agent: CalledLeg): void {
  const { channel, clock } = session
  channel.variables.setAll({
    bridge_channel: agent.profile.fields.channelName,
    bridge_uuid: agent.uuid,
    signal_bond: agent.uuid,
  })
  channel.profile.update({ bridged: clock.now })
  channel.showOtherLeg(agent.profile)
  agent.bridged()
  session.answeredLegs.push(agent)
  session.join(agent)
}
