import type { Link, SwitchChannel } from '../../esl/link.js'
import type { SeenSwitch } from './verdict.js'

/** What of a link its users here need. */
export type SwitchLink = Pick<
  Link,
  | 'name'
  | 'isUp'
  | 'coreUuid'
  | 'switchName'
  | 'lastHeardAt'
  | 'onEvent'
  | 'onUp'
  | 'onDown'
  | 'api'
  | 'channels'
>

/** The channels of one switch at one moment. */
export interface Listing extends SeenSwitch {
  readonly link: SwitchLink
  readonly channels: ReadonlyMap<string, SwitchChannel> | undefined
}

/** The links to the switches, which are told apart by their own names. */
export class Switches {
  readonly links: readonly SwitchLink[]

  constructor(links: readonly SwitchLink[]) {
    this.links = links
  }

  /** Whether each event of a switch's channels is told here. */
  hears(switchName: string | undefined): boolean {
    return this.#up(switchName).length > 0
  }

  /** Whether one of the links leads to a switch, so far as they were ever up. */
  leadTo(switchName: string | undefined): boolean {
    return this.links.some((link) => link.switchName === undefined || link.switchName === switchName)
  }

  /** Whether the switch still has a channel; undefined: nobody can say. */
  async has(switchName: string | undefined, uuid: string): Promise<boolean | undefined> {
    const answers = await Promise.all(
      this.#up(switchName).map((link) =>
        link.api('uuid_exists', [uuid]).then(
          (answer) => answer.trim() === 'true',
          () => undefined,
        ),
      ),
    )
    if (answers.includes(true)) return true
    return answers.length === 0 || answers.includes(undefined) ? undefined : false
  }

  /** The channels of each switch, as far as it can be asked. @param onError is told why one could not */
  list(onError: (link: SwitchLink, error: unknown) => void): Promise<Listing[]> {
    return Promise.all(
      this.links.map(async (link): Promise<Listing> => {
        let channels: Listing['channels']
        try {
          if (link.isUp) channels = new Map((await link.channels()).map((each) => [each.uuid, each]))
        } catch (error) {
          onError(link, error)
        }
        return { link, channels, switchName: link.switchName }
      }),
    )
  }

  /**
   * @param listener is told of each switch that comes up as another one than it was, and when that one was heard last,
   *   in µs by its clock
   * @returns what ends that
   */
  onRestart(listener: (link: SwitchLink, lastHeardAt: number) => void): () => void {
    const undo = this.links.flatMap((link) => {
      let last: { readonly coreUuid: string | undefined; readonly heardAt: number } | undefined
      return [
        link.onDown(() => {
          last = { coreUuid: link.coreUuid, heardAt: link.lastHeardAt }
        }),
        link.onUp(() => {
          if (last !== undefined && last.coreUuid !== link.coreUuid) listener(link, last.heardAt)
        }),
      ]
    })
    return () => {
      for (const end of undo) end()
    }
  }

  #up(switchName: string | undefined): SwitchLink[] {
    return this.links.filter((link) => link.isUp && link.switchName === switchName)
  }
}
