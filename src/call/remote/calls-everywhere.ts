import {
  type CallAction,
  type CallCounts,
  type CallFilter,
  type CallPage,
  type CallsEverywhere,
  type LiveCallView,
  type Nodes,
  type Outcome,
  type Place,
} from '../../common/live-call.js'
import type { LiveCalls } from '../live.js'
import { Asking, type AskingOptions } from './asking.js'
import { answersTo, type Ask } from './messages.js'
import { countedTwice, Movements, type Moved } from './moved-calls.js'

export interface CallsOfNodesOptions extends Omit<AskingOptions, 'answer'> {
  readonly live: LiveCalls
  /** How long a node has to do something with a call of its own, in ms: the switch is asked. Default 8,000. */
  readonly actMs?: number
}

/** A call of this node. */
type OwnView = Omit<LiveCallView, 'node'>

/** The calls of this node, and of those that can be asked. */
export class CallsOfNodes implements CallsEverywhere {
  readonly #node: string
  readonly #live: LiveCalls
  readonly #actMs: number
  readonly #asking: Asking

  constructor({ live, actMs = 8_000, ...options }: CallsOfNodesOptions) {
    this.#node = options.node
    this.#live = live
    this.#actMs = actMs
    this.#asking = new Asking({ ...options, answer: (ask) => this.#answer(ask) })
  }

  /** Whether other nodes can be asked. */
  get isHearing(): boolean {
    return this.#asking.isHearing
  }

  close(): void {
    this.#asking.close()
  }

  async list(
    filter: CallFilter,
    limit: number,
    after?: Place,
  ): Promise<CallPage & { readonly nodes: Nodes }> {
    const ask: Ask = { about: 'list', filter, limit, ...(after && { after }) }
    const { answers, nodes } = await this.#asking.everybody(ask, answersTo.list)
    const pages = [this.#page(filter, limit, after), ...answers.values()]
    const all = pages.flatMap(({ items }) => items)
    const found = onceEach(all)
    const total = pages.reduce((sum, page) => sum + page.total, 0) - countedTwice(pages).length
    return { items: found.sort(latestFirst).slice(0, limit), total, nodes }
  }

  async find(uuid: string): Promise<{ readonly call: LiveCallView | undefined; readonly nodes: Nodes }> {
    const own = this.#view(uuid)
    if (own !== undefined && own.state !== 'handed_on')
      return { call: own, nodes: { asked: 1, answered: 1, trouble: null } }
    const { answers, nodes } = await this.#asking.everybody(
      { about: 'find', uuid },
      answersTo.find,
      ({ call }) => call?.uuid === uuid && call.state !== 'handed_on',
    )
    const found = [own, ...[...answers.values()].map(({ call }) => call)]
    const [call] = onceEach(found.flatMap((each) => (each?.uuid === uuid ? each : [])))
    return { call, nodes }
  }

  act({ uuid, node }: Pick<LiveCallView, 'uuid' | 'node'>, action: CallAction): Promise<Outcome> {
    if (node === this.#node) return this.#act(uuid, action)
    return this.#asking.one(node, { about: 'act', uuid, action }, answersTo.act, this.#actMs)
  }

  async counts(tenant?: string): Promise<CallCounts & { readonly nodes: Nodes }> {
    const ask: Ask = { about: 'counts', ...(tenant !== undefined && { tenant }) }
    const { answers, nodes } = await this.#asking.everybody(ask, answersTo.counts)
    const all = [this.#counts(tenant), ...answers.values()]
    const twice = countedTwice(all)
    const sumOf = (of: (counts: CallCounts) => Readonly<Record<string, number>>, less: (string | null)[]) =>
      summed(all.map(of), less)
    return {
      calls: all.reduce((sum, { calls }) => sum + calls, 0) - twice.length,
      byTenant: sumOf(
        ({ byTenant }) => byTenant,
        twice.map(({ tenant }) => tenant),
      ),
      byRoute: sumOf(
        ({ byRoute }) => byRoute,
        twice.map(({ route }) => route),
      ),
      byState: sumOf(
        ({ byState }) => byState,
        twice.map(() => 'handed_on'),
      ),
      begun: (all[0]?.begun ?? []).map((_, i) => all.reduce((sum, { begun }) => sum + (begun[i] ?? 0), 0)),
      nodes,
    }
  }

  #answer(ask: Ask): Promise<unknown> {
    switch (ask.about) {
      case 'list':
        return Promise.resolve(this.#page(ask.filter, ask.limit, ask.after))
      case 'find':
        return Promise.resolve({ call: this.#view(ask.uuid) ?? null })
      case 'act':
        return this.#act(ask.uuid, ask.action)
      case 'counts':
        return Promise.resolve(this.#counts(ask.tenant))
    }
  }

  async #act(uuid: string, action: CallAction): Promise<Outcome> {
    const call = this.#live.get(uuid)
    return call === undefined
      ? { done: false, why: 'gone', detail: 'the call is over, or another server has it by now' }
      : call.act(action)
  }

  #view(uuid: string): LiveCallView | undefined {
    const call = this.#live.get(uuid)
    return call && { ...call.describe(), node: this.#node }
  }

  #page(filter: CallFilter, limit: number, after: Place | undefined): CallPage & Moved {
    const moved = new Movements(this.#live)
    const all: OwnView[] = []
    for (const call of this.#live.all) {
      const view = call.describe()
      if (!isLetThrough(view, filter)) continue
      all.push(view)
      moved.add(view)
    }
    const rest = after === undefined ? all : all.filter((view) => latestFirst(view, after) > 0)
    const first = rest.sort(latestFirst).slice(0, limit)
    return { items: first.map((view) => ({ ...view, node: this.#node })), total: all.length, ...moved.told }
  }

  #counts(tenant: string | undefined): CallCounts & Moved {
    const moved = new Movements(this.#live)
    const byTenant = new Map<string, number>()
    const byRoute = new Map<string, number>()
    const byState = new Map<string, number>()
    let calls = 0
    for (const call of this.#live.all) {
      const view = call.describe()
      if (tenant !== undefined && view.tenant !== tenant) continue
      calls++
      moved.add(view)
      if (view.tenant !== null) increment(byTenant, view.tenant)
      if (view.route !== null) increment(byRoute, view.route)
      increment(byState, view.state)
    }
    const begun = this.#live.begun.perSecond(tenant)
    return {
      ...{ calls, begun, ...moved.told },
      byTenant: Object.fromEntries(byTenant),
      byRoute: Object.fromEntries(byRoute),
      byState: Object.fromEntries(byState),
    }
  }
}

function increment(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

/** @param less each time that a name is there, it counts one less */
function summed(
  all: readonly Readonly<Record<string, number>>[],
  less: readonly (string | null)[],
): Readonly<Record<string, number>> {
  const sums = new Map<string, number>()
  for (const counts of all)
    for (const [key, count] of Object.entries(counts)) sums.set(key, (sums.get(key) ?? 0) + count)
  for (const key of less) {
    const sum = key === null ? undefined : sums.get(key)
    if (key === null || sum === undefined) continue
    if (sum > 1) sums.set(key, sum - 1)
    else sums.delete(key)
  }
  return Object.fromEntries(sums)
}

function latestFirst(a: Place, b: Place): number {
  return b.startedAt - a.startedAt || (a.uuid < b.uuid ? -1 : a.uuid > b.uuid ? 1 : 0)
}

/** A call that went from one server to another has a session on both until its end: the one that does something counts. */
function onceEach(views: readonly LiveCallView[]): LiveCallView[] {
  const found = new Map<string, LiveCallView>()
  for (const view of views)
    if ((found.get(view.uuid)?.state ?? 'handed_on') === 'handed_on') found.set(view.uuid, view)
  return [...found.values()]
}

function isLetThrough(view: OwnView, filter: CallFilter): boolean {
  const { tenant, direction, route, state, gateway, caller, called } = filter
  return (
    (tenant === undefined || view.tenant === tenant) &&
    (direction === undefined || view.direction === direction) &&
    (route === undefined || view.route === route) &&
    (state === undefined || view.state === state) &&
    (gateway === undefined || view.gateway === gateway) &&
    (caller === undefined || view.caller === caller || view.callerRaw === caller) &&
    (called === undefined || view.called === called || view.calledRaw === called)
  )
}
