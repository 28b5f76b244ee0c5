import { setTimeout as wait } from 'node:timers/promises'
import type { Logger } from 'pino'
import * as command from './command.js'
import { AccessRefused, LinkDown, ProtocolError } from './errors.js'
import type { Event } from './event.js'
import { parseChannels, type SwitchChannel } from './link-channels.js'
import { LinkConnection } from './link-connection.js'
import { Jobs } from './link-jobs.js'

export type { SwitchChannel } from './link-channels.js'

export interface LinkOptions {
  readonly host: string
  readonly port: number
  readonly password: string
  readonly log: Logger
  /** In ms, at most: before the first attempt to reconnect; doubled before each further one. Default 1,000. */
  readonly firstDelayMs?: number
  /** In ms, at most: what the delays grow to. Default 30,000. */
  readonly longestDelayMs?: number
  /** In ms: for a connection, and for a reply. Default 10,000. */
  readonly replyTimeoutMs?: number
  /** In ms: for the result of a background job. Default 600,000. */
  readonly jobTimeoutMs?: number
  /** In ms: silence that counts as dead. FreeSWITCH's heartbeat comes every 20 s. Default 60,000. */
  readonly silenceMs?: number
  /** Longest frame. The channels of a busy switch are some megabytes. Default 64 MB. */
  readonly maxFrameBytes?: number
}

/** What is behind CUSTOM are its subclasses. */
const subscriptions = [
  'CHANNEL_CREATE',
  'CHANNEL_PROGRESS',
  'CHANNEL_ANSWER',
  'CHANNEL_BRIDGE',
  'CHANNEL_HANGUP_COMPLETE',
  'BACKGROUND_JOB',
  'HEARTBEAT',
  'CUSTOM',
  'callcenter::info',
  'sofia::register',
  'sofia::gateway_state',
]

/**
 * The link to one FreeSWITCH: its inbound event socket, which is connected again for ever, with the same
 * subscriptions. It hears the events of all calls and runs API commands.
 */
export class Link {
  /** `host:port` */
  readonly name: string
  readonly #options: LinkOptions
  readonly #log: Logger
  readonly #onEvent = new Set<(event: Event) => void>()
  readonly #onUp = new Set<() => void>()
  readonly #onDown = new Set<() => void>()
  readonly #jobs = new Jobs()
  readonly #closing = new AbortController()
  readonly #ended: Promise<void>
  #connection: LinkConnection | undefined
  #isUp = false
  #trouble: string | undefined = 'it is not connected yet'
  /** Logged; the same again is not. */
  #toldTrouble: string | undefined
  #isIdentified = false
  #coreUuid: string | undefined
  #switchName: string | undefined
  #lastHeardAt = 0

  /** Begins to connect at once. Never throws. */
  constructor(options: LinkOptions) {
    const { host, port, log } = options
    this.name = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
    this.#options = options
    this.#log = log
    this.#ended = this.#run()
  }

  /** Authenticated, subscribed, and the first event was heard. */
  get isUp(): boolean {
    return this.#isUp
  }

  /** Why it is down, one line; undefined while it is up. */
  get trouble(): string | undefined {
    return this.#trouble
  }

  /** Of the FreeSWITCH that was heard last. Another one after a reconnect: it was restarted. */
  get coreUuid(): string | undefined {
    return this.#coreUuid
  }

  /** FreeSWITCH-Switchname of the FreeSWITCH that was heard last. */
  get switchName(): string | undefined {
    return this.#switchName
  }

  /** In µs since 1970 by the switch's clock: when its latest event was made; 0: none came yet. */
  get lastHeardAt(): number {
    return this.#lastHeardAt
  }

  /** @param listener told of each event, in order; an error of its own is logged. @returns takes it off */
  onEvent(listener: (event: Event) => void): () => void {
    return listening(this.#onEvent, listener)
  }

  /** @param listener told when the link has come up, the first time and after each reconnect */
  onUp(listener: () => void): () => void {
    return listening(this.#onUp, listener)
  }

  /** @param listener told when the link was up and is so no more */
  onDown(listener: () => void): () => void {
    return listening(this.#onDown, listener)
  }

  /**
   * Runs an API command, which blocks the link and its events until it is done: for quick ones.
   * @param args each a single token. @returns its output
   * @throws UnsafeArgument; CommandRefused for `-ERR`; LinkDown; ReplyTimeout, which also ends the connection
   */
  async api(name: string, args: readonly string[] = []): Promise<string> {
    const asked = command.api(name, args)
    return this.#current().send(asked)
  }

  /**
   * Runs an API command in the background.
   * @param args each a single token. @returns its result, as its own BACKGROUND_JOB tells it
   * @throws as `api` does; a ReplyTimeout for the result does not end the connection
   */
  async bgapi(name: string, args: readonly string[]): Promise<string> {
    return this.#jobs.run(this.#current(), name, args, this.#options.jobTimeoutMs ?? 600_000)
  }

  /** All channels that the switch has. @throws as `api` does; ProtocolError when the list is not whole */
  async channels(): Promise<readonly SwitchChannel[]> {
    return parseChannels(await this.api('show', ['channels', 'as', 'json']))
  }

  /** Ends the link, for good; what waits is rejected with LinkDown. Calling it again waits for the same. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#connection?.close(new LinkDown('it is closed'))
    await this.#ended
  }

  async #run(): Promise<void> {
    const { firstDelayMs = 1000, longestDelayMs = 30_000 } = this.#options
    const { signal } = this.#closing
    let failures = 0
    while (!signal.aborted) {
      const { reason, upMs } = await this.#connect()
      if (upMs > firstDelayMs) failures = 0
      const isRefused = reason instanceof AccessRefused
      const mostMs = isRefused ? longestDelayMs : Math.min(longestDelayMs, firstDelayMs * 2 ** failures++)
      // Many nodes lose a switch together: they are not to come back together.
      const delayMs = Math.round(mostMs * (0.5 + Math.random() / 2))
      this.#fall(reason, delayMs)
      await wait(delayMs, undefined, { signal }).catch(() => undefined)
    }
  }

  /** One connection, from its beginning to its end. */
  async #connect(): Promise<{ reason: Error; upMs: number }> {
    const { host, port, password } = this.#options
    const { replyTimeoutMs = 10_000, silenceMs = 60_000, maxFrameBytes = 64 * 1024 * 1024 } = this.#options
    const connection = new LinkConnection({
      host,
      port,
      replyTimeoutMs,
      silenceMs,
      maxFrameBytes,
      onEvent: (event) => {
        this.#hear(event)
      },
    })
    this.#connection = connection
    this.#isIdentified = false
    let upAt = Infinity
    try {
      await connection.open(password, subscriptions)
      // Its event says which FreeSWITCH this is, before the first heartbeat does, and that events come.
      await this.#jobs.run(connection, 'status', [], replyTimeoutMs)
      upAt = performance.now()
      this.#rise()
    } catch (error) {
      connection.close(error instanceof Error ? error : new LinkDown(String(error)))
    }
    const reason = await connection.closed
    return { reason, upMs: performance.now() - upAt }
  }

  #rise(): void {
    this.#isUp = true
    this.#trouble = this.#toldTrouble = undefined
    const { name, switchName, coreUuid } = this
    this.#log.info({ switch: name, switchName, coreUuid }, 'the link to FreeSWITCH is up')
    this.#tell(this.#onUp, undefined)
  }

  #fall(reason: Error, retryMs: number): void {
    const wasUp = this.#isUp
    this.#isUp = false
    this.#trouble = reason.message
    if (!this.#closing.signal.aborted && this.#toldTrouble !== reason.message) {
      this.#toldTrouble = reason.message
      this.#log[reason instanceof AccessRefused ? 'error' : 'warn'](
        { switch: this.name, trouble: reason.message, retryMs },
        'there is no link to FreeSWITCH; it is tried again until there is',
      )
    }
    this.#jobs.abandon(this.#down())
    if (wasUp) this.#tell(this.#onDown, undefined)
  }

  /** @throws LinkDown */
  #current(): LinkConnection {
    if (!this.#isUp || !this.#connection) throw this.#down()
    return this.#connection
  }

  #down(): LinkDown {
    return new LinkDown(`the link to FreeSWITCH ${this.name} is down: ${this.#trouble ?? 'it broke'}`)
  }

  /** @throws ProtocolError for what is no event, which ends the connection */
  #hear(event: Event): void {
    if (event.name === '') throw new ProtocolError('an event without a name')
    const madeAt = Number(event.peek('Event-Date-Timestamp'))
    if (Number.isSafeInteger(madeAt) && madeAt > 0) this.#lastHeardAt = madeAt
    if (!this.#isIdentified) {
      this.#coreUuid = event.peek('Core-UUID') ?? this.#coreUuid
      this.#switchName = event.peek('FreeSWITCH-Switchname') ?? this.#switchName
      this.#isIdentified = true
    }
    if (event.name === 'BACKGROUND_JOB') this.#jobs.hear(event)
    this.#tell(this.#onEvent, event)
  }

  /** One that fails does not keep the others from being told. */
  #tell<T>(listeners: ReadonlySet<(told: T) => void>, told: T): void {
    for (const listener of listeners) {
      try {
        listener(told)
      } catch (error) {
        this.#log.error({ err: error, switch: this.name }, 'what listens to the link to FreeSWITCH failed')
      }
    }
  }
}

function listening<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}
