import { isDeepStrictEqual } from 'node:util'
import type { Event } from '../esl/event.js'
import { NoRoute, type Leading } from '../routes/registry.js'
import type { Catalog } from '../store/catalog.js'
import { nothingAnnounced } from './announced.js'
import { chooseRoute } from './choose-route.js'
import { identify, type Identity } from './identify.js'
import { Progress } from './progress.js'
import type { SessionDependencies } from './session-dependencies.js'
import { callStateOf, isHandedOn, type CallState } from './state.js'
import { Story } from './story.js'
import { resume } from './takeover.js'
import { callFacts, ownerOf, transferor } from './legs/transferred-leg.js'

/** A call as its channel's data tell of it. */
export interface Beginning {
  readonly story: Story
  /** Who is in it now: of a call that was transferred since, whom it was transferred to. */
  readonly identity: Identity
  /** Where it is led; or why nowhere. */
  readonly leading: Leading | NoRoute
  /** What its last server left on the channel. */
  readonly state: CallState | undefined
  /** Those of its variables that its route wants, with undefined for what is not set. */
  readonly variables: ReadonlyMap<string, string | undefined>
}

/** @param channel the reply to `connect`; nothing of it is kept */
export function beginning(channel: Event, dependencies: SessionDependencies): Beginning {
  const { catalog } = dependencies
  const state = callStateOf(channel)
  const facts = callFacts(channel, state)
  const owner = ownerOf(channel, facts, catalog)
  const tenant = state && catalog.tenant(state.tenant)
  const found = identify(facts, catalog, { ...dependencies, owner, tenant })
  const identity = withTransferor(found, channel, state, catalog)
  const story = new Story(facts, identity)
  const leading = leadingOf(() => chooseRoute(facts, identity, state, dependencies))
  if (!(leading instanceof NoRoute)) {
    story.route = leading.route.name
    story.routeArguments = leading.args
  }
  const isHere = state?.node === dependencies.node && dependencies.live.has(facts.uuid)
  if (state !== undefined) goOn(story, state, channel, isHere)
  return { story, identity, leading, state, variables: variablesFor(leading, channel) }
}

function withTransferor(
  identity: Identity,
  channel: Event,
  state: CallState | undefined,
  catalog: Pick<Catalog, 'extension'>,
): Identity {
  const by = transferor(channel, state)
  const { tenant } = identity
  if (by === undefined || tenant === undefined) return identity
  return { ...identity, transferor: { number: by, extension: catalog.extension(tenant.id, by) } }
}

/** A call that no route serves is refused, with a CDR: that takes a session. */
function leadingOf(choose: () => Leading): Leading | NoRoute {
  try {
    return choose()
  } catch (error) {
    if (error instanceof NoRoute) return error
    throw error
  }
}

/** The story of a call that a server had before. @param isHere that one is this, and lives */
function goOn(story: Story, state: CallState, channel: Event, isHere: boolean): void {
  const { legs, results } = resume(state, channel)
  const { direction, caller, called, route, args, destination } = state
  story.legs.adopt(legs)
  story.isVip = state.isVip
  story.isBlacklisted = state.isBlacklisted === true
  story.transfers = state.transfers ?? 0
  const isOurs = isHere || isHandedOn(state)
  story.takeovers = state.takeovers + (isOurs ? 0 : 1)
  // What a server has told since it wrote that, nobody knows: another one has numbers of its own.
  const announced = state.announced ?? nothingAnnounced
  story.announced = isOurs ? announced : { ...announced, count: 0 }
  story.identity = { ...story.identity, direction, caller, called }
  story.recording = state.recording
  story.adminRecords = state.adminRecords
  // Handed on, on another path, or with another destination, it begins a route anew.
  const isSame =
    !isHandedOn(state) &&
    route === story.route &&
    isDeepStrictEqual(args, story.routeArguments) &&
    destination === story.facts.calledNumber
  if (!isSame) return
  story.results = [...results]
  story.progress = new Progress(state.steps)
}

function variablesFor(leading: Leading | NoRoute, channel: Event): ReadonlyMap<string, string | undefined> {
  const { variables = [] } = leading instanceof NoRoute ? {} : leading.route
  return new Map(variables.map((name) => [name, channel.peek(`variable_${name}`)]))
}
