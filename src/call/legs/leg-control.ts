import { timersVariable, timerSeparator } from '../../channel/channel.js'
import type { Prompt } from '../../channel/prompt.js'
import { CallerGone, CommandRefused, LinkDown, ReplyTimeout } from '../../esl/errors.js'
import type { Link } from '../../esl/link.js'

/** What can be done about a leg that talks, without touching the talk: over the caller's own socket, or over a link. */
export interface LegControl {
  /** @param at s since 1970, by the switch's clock; @param name to take it off by */
  hangupLegAt(at: number, legUuid: string, name: string, cause: string): Promise<void>
  unschedule(name: string): Promise<void>
  /** Plays to whoever pays for the leg. */
  playBeside(what: Prompt): Promise<void>
  /** Under which names the leg's hangup may be scheduled: kept with the leg itself, for whoever comes next. */
  rememberTimers(legUuid: string, names: readonly string[]): Promise<void>
}

/**
 * Over a link: for a leg whose caller's socket nobody has. It throws CallerGone when the switch has the channel no
 * more, and when the link breaks: whoever comes back over it begins with what the channel then says.
 */
export class LinkLegControl implements LegControl {
  readonly #link: Pick<Link, 'api'>
  readonly #hearer: string

  /** @param hearer whom to play to: the leg's caller, or the leg itself if that one has gone */
  constructor(link: Pick<Link, 'api'>, hearer: string) {
    this.#link = link
    this.#hearer = hearer
  }

  async hangupLegAt(at: number, legUuid: string, name: string, cause: string): Promise<void> {
    await this.#api('sched_api', [String(at), name, 'uuid_kill', legUuid, cause])
  }

  async unschedule(name: string): Promise<void> {
    await this.#api('sched_del', [name])
  }

  async playBeside(what: Prompt): Promise<void> {
    await this.#api('uuid_broadcast', [this.#hearer, what, 'aleg'])
  }

  async rememberTimers(legUuid: string, names: readonly string[]): Promise<void> {
    await this.#api('uuid_setvar', [legUuid, timersVariable, names.join(timerSeparator)])
  }

  async #api(name: string, args: readonly string[]): Promise<void> {
    try {
      await this.#link.api(name, args)
    } catch (error) {
      if (isLinkGone(error) || isNoChannel(error)) throw new CallerGone(undefined, { cause: error })
      throw error
    }
  }
}

/** Whether the switch answered that it has no channel of this uuid (recording commands-after-hangup). */
export function isNoChannel(error: unknown): boolean {
  return error instanceof CommandRefused && /no such channel/i.test(error.reply)
}

/** Whether the link broke over a command: what became of it is not known. */
export function isLinkGone(error: unknown): boolean {
  return error instanceof LinkDown || error instanceof ReplyTimeout
}
