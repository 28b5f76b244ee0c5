import { randomUUID } from 'node:crypto'
import { prompt } from '../channel/prompt.js'
import type { CallAction, Outcome, Party, Refused } from '../common/live-call.js'
import { CallerGone, CommandRefused, ReplyTimeout, UnsafeArgument } from '../esl/errors.js'
import { isDomain, listenerDialString } from '../numbering/dial-string.js'
import type { Tenant } from '../store/catalog.js'
import type { Described } from './describe.js'
import { mostTransfers } from './hand-on.js'
import { isNoChannel } from './legs/leg-control.js'
import type { ServedCall } from './served-call.js'
import type { SessionDependencies } from './session-dependencies.js'
import { whereTo } from './where-to.js'

/** A call that somebody else than its route may do something with. */
export interface ActedCall extends Described {
  readonly call: ServedCall
  readonly isOpen: boolean
  readonly dependencies: SessionDependencies
}

/** How long the phone of who is to listen in rings, in s. */
const listenerRingsSeconds = 30

/** The call is not in the state for it: `detail` says why. */
class NotNow extends Error {}
/** The switch does not do it. */
class Failed extends Error {}
/** What was asked for cannot be. */
class Invalid extends Error {
  readonly field: string

  constructor(field: string, message: string) {
    super(message)
    this.field = field
  }
}

type Did = Omit<Extract<Outcome, { readonly done: true }>, 'done'>

/** Does what an admin wants done with a call, over the call's own socket and beside what its route does. */
export async function act(on: ActedCall, action: CallAction): Promise<Outcome> {
  try {
    return { done: true, ...(await done(on, action)) }
  } catch (error) {
    if (error instanceof CallerGone) return refused('gone', 'the call is over')
    if (error instanceof NotNow) return refused('not_now', error.message)
    if (error instanceof Failed) return refused('failed', error.message)
    if (error instanceof Invalid) return { ...refused('invalid', error.message), field: error.field }
    if (isNoChannel(error)) return refused('not_now', 'whom the call talked to has just gone')
    // What the switch calls a channel, or a context, need not be what it may be told.
    const isItsOwn = error instanceof UnsafeArgument
    if (error instanceof CommandRefused || error instanceof ReplyTimeout || isItsOwn)
      return refused('failed', error.message)
    throw error
  }
}

function refused(why: Refused, detail: string): Outcome & { readonly done: false } {
  return { done: false, why, detail }
}

async function done(on: ActedCall, action: CallAction): Promise<Did> {
  if (on.channel.hasHungUp) throw new CallerGone()
  if (action.do === 'hangup') return hangUp(on, action.cause)
  if (on.holding.onlyWaits) throw new NotNow('its dialplan has the call now: it can only be hung up')
  if (!on.isOpen) throw new NotNow('the call has only just come')
  switch (action.do) {
    case 'transfer':
      return transfer(on, action.party, action.to)
    case 'dtmf':
      await on.channel.sendDigits(legOf(on, action.party), action.digits)
      return {}
    case 'play':
      return play(on, action.party, action.sound)
    case 'record':
      return record(on, action.on)
    case 'listen':
      return listen(on, action.extension, action.mode)
  }
}

async function hangUp({ story, channel, holding }: ActedCall, cause: string): Promise<Did> {
  if (!holding.onlyWaits) story.ending ??= { cause, by: 'server' }
  try {
    await channel.kill(cause)
  } catch (error) {
    // Its end is on its way here.
    if (isNoChannel(error)) throw new CallerGone(undefined, { cause: error })
    throw error
  }
  return {}
}

async function transfer(on: ActedCall, party: Party, to: string): Promise<Did> {
  const { story, channel, holding } = on
  const { talking } = story.legs
  const tenant = tenantOf(on)
  const nowhere = whereTo(to, { ...on, tenant, party })
  if (nowhere !== undefined) throw new Invalid('to', nowhere)
  if (story.identity.isEmergency) throw new NotNow('an emergency call is left where it is')
  if (party === 'caller') {
    if (story.transfers >= mostTransfers)
      throw new NotNow(`it was transferred ${mostTransfers} times already`)
    await holding.sendOn(to)
    return {}
  }
  if (talking?.answeredAt === undefined) throw new NotNow('the call talks to nobody')
  // Dialled by mod_callcenter, it does not say whose it is, and would be nobody's call.
  if (talking.attempt.target.startsWith('queue:')) throw new NotNow("a queue's agent cannot be transferred")
  // The called phone's own context is for what phones dial; the call's leads here.
  const context = await channel.variable('context')
  await channel.sendLeg(talking.uuid, to, context)
  return {}
}

async function play({ story, channel }: ActedCall, party: Party | 'both', sound: string): Promise<Did> {
  const what = soundFor(sound)
  if (!channel.isAnswered) throw new NotNow('the call is not answered yet')
  if (party !== 'caller' && story.legs.talking === undefined) throw new NotNow('the call talks to nobody')
  await channel.playBeside(what, party === 'both' ? 'both' : party === 'caller' ? 'aleg' : 'bleg')
  return {}
}

function soundFor(text: string): ReturnType<typeof prompt> {
  try {
    return prompt(text)
  } catch (error) {
    if (!(error instanceof UnsafeArgument)) throw error
    throw new Invalid('sound', error.message)
  }
}

async function record({ call, story, dependencies }: ActedCall, on: boolean): Promise<Did> {
  if (on && dependencies.recordings === undefined)
    throw new NotNow('nothing is recorded here (RECORDINGS_DIR)')
  if (!(await call.recorder.turnForAdmin(on))) {
    if (on) throw new NotNow('the switch does not record it: the log says why')
    throw new Failed('the switch does not stop the recording: the log says why')
  }
  const { recording } = story
  return { recordingPath: recording?.isOver === false ? recording.path : null }
}

async function listen(on: ActedCall, extension: string, mode: 'listen' | 'whisper' | 'barge'): Promise<Did> {
  const { story, channel, call, dependencies } = on
  const { facts, identity } = story
  const tenant = tenantOf(on)
  if (call.extension(extension) === undefined)
    throw new Invalid('extension', `the tenant ${tenant.id} has no such extension`)
  if (!channel.isAnswered) throw new NotNow('the call is not answered yet: there is nothing to hear')
  // Who works for the tenant: he alone hears a whisper.
  const isCallersSide = identity.direction === 'outbound'
  const said = tenant.domain ?? facts.domain ?? facts.authRealm
  const domain = said !== undefined && isDomain(said) ? said : undefined
  // In the switch's own domain the phone of that number may be another tenant's, who is not to hear the call.
  if (domain === undefined && dependencies.catalog.hasSeveralTenants)
    throw new NotNow(`the domain of the phones of ${tenant.id} is not known (the tenant's \`domain\`)`)
  const listenerUuid = randomUUID()
  const phone = listenerDialString(extension, domain, {
    uuid: listenerUuid,
    callerNumber: facts.callerNumber,
    ringSeconds: listenerRingsSeconds,
    isHeardBy: {
      leg: mode === 'barge' || (mode === 'whisper' && isCallersSide),
      partner: mode === 'barge' || (mode === 'whisper' && !isCallersSide),
    },
  })
  await channel.letListen(phone, listenerUuid)
  return { listenerUuid }
}

function legOf({ story, channel }: ActedCall, party: Party): string {
  if (party === 'caller') {
    if (!channel.isAnswered) throw new NotNow('the call is not answered yet')
    return story.facts.uuid
  }
  const { talking } = story.legs
  if (talking?.answeredAt === undefined) throw new NotNow('the call talks to nobody')
  return talking.uuid
}

function tenantOf({ story }: ActedCall): Tenant {
  const { tenant } = story.identity
  if (tenant === undefined) throw new NotNow("it is nobody's call")
  return tenant
}
