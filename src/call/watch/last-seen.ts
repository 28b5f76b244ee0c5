import type { ChannelFacts } from '../facts.js'
import type { Switches, SwitchLink } from './switches.js'

interface Seen {
  readonly link: SwitchLink
  /** µs by the switch's clock. */
  at: number
  /** Its end would have been heard since. */
  isHeard: boolean
}

/** Of one switch, that are remembered. */
const mostDeaths = 100

/**
 * When calls without a session here were surely there last, by the clocks of their switches: what a call is billed to
 * whose end nobody tells. A call that talks says nothing itself; but while the link to its switch is up, whatever else
 * the switch says, were it a heartbeat, says that the call is not over.
 */
export class LastSeen {
  readonly #links: readonly SwitchLink[]
  readonly #listed = new Map<string, Seen>()
  /** By call: when its session lost it, by each switch's clock. */
  readonly #lost = new Map<string, ReadonlyMap<string | undefined, number>>()
  /** When each switch was heard last before it was another one, the oldest first. */
  readonly #deaths = new Map<SwitchLink, number[]>()
  readonly #undo: (() => void)[]

  constructor(switches: Switches) {
    const { links } = switches
    this.#links = links
    this.#undo = links.flatMap((link) => [
      link.onEvent((event) => {
        if (this.#listed.size === 0 || event.name !== 'CHANNEL_HANGUP_COMPLETE') return
        const seen = this.#listed.get(event.peek('Unique-ID') ?? '')
        if (seen !== undefined) seen.isHeard = false
      }),
      link.onDown(() => {
        for (const seen of this.#listed.values()) {
          if (seen.link !== link || !seen.isHeard) continue
          seen.at = link.lastHeardAt
          seen.isHeard = false
        }
      }),
    ])
    this.#undo.push(
      switches.onRestart((link, lastHeardAt) => {
        const deaths = this.#deaths.get(link) ?? []
        this.#deaths.set(link, [...deaths.slice(1 - mostDeaths), lastHeardAt])
      }),
    )
  }

  /** A session had the call until now. */
  lost(uuid: string): void {
    this.#lost.set(uuid, new Map(this.#links.map(({ switchName, lastHeardAt }) => [switchName, lastHeardAt])))
  }

  /** Its switch has the call. @param at µs by the switch's clock */
  listed(uuid: string, link: SwitchLink, at: number): void {
    this.#listed.set(uuid, { link, at, isHeard: link.isUp })
  }

  /** @returns µs by the clock of its switch; undefined when it was not seen since this server was started */
  of(uuid: string, facts?: Pick<ChannelFacts, 'switchName' | 'createdAt'>): number | undefined {
    const at = Math.max(this.#listed.get(uuid)?.at ?? 0, this.#lost.get(uuid)?.get(facts?.switchName) ?? 0)
    if (at === 0) return undefined
    // A session may find out long after its switch died; it had the call no longer than that was there.
    const deaths = [...this.#deaths].flatMap(([link, all]) =>
      link.switchName === facts?.switchName ? all.filter((death) => death >= (facts?.createdAt ?? 0)) : [],
    )
    return Math.min(at, ...deaths)
  }

  /** Forgets all but these calls. */
  keepOnly(uuids: { has(uuid: string): boolean }): void {
    for (const seen of [this.#listed, this.#lost])
      for (const uuid of seen.keys()) if (!uuids.has(uuid)) seen.delete(uuid)
  }

  close(): void {
    for (const undo of this.#undo) undo()
  }
}
