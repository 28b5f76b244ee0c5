import { setMaxListeners } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'

import { cdrDocument, type LegDocument } from './cdr-document.js'
import type { Channel } from './channel.js'
import type { CallClock } from './clock.js'

/** `json_cdr.conf.xml`, as mod_json_cdr reads it with `encode` and `encode-values` off. */
export interface JsonCdrOptions {
  /** Tried in turn. A document that one of them refuses goes to the next, and so do all after it. */
  readonly urls: readonly string[]
  /** `user:password` */
  readonly auth?: string
  /** Called legs too. Default true. */
  readonly logBLeg?: boolean
  /** Posts after the first one, over all urls. Default 0. */
  readonly retries?: number
  /** Before each of them, of the call's time. Default 5000, as FreeSWITCH's. */
  readonly delayMs?: number
  /** Where a document is written that nobody took. Default: nowhere. */
  readonly errLogDir?: string
  /** Whether the files of callers' legs are called `a_UUID.cdr.json`. Default false, as FreeSWITCH's. */
  readonly prefixALeg?: boolean
}

/** What became of a document. */
export interface PostedDocument {
  readonly uuid: string
  readonly text: string
  /** What each post was answered with; 0 when it was not. */
  readonly statuses: readonly number[]
}

const defaultDelayMs = 5000

/**
 * mod_json_cdr: posts a document for each leg that ends, and holds its final event back until that is done.
 * Like FreeSWITCH it waits for ever for an answer that does not come.
 */
export class JsonCdr {
  /** All that were posted or given up, in the order of that. */
  readonly documents: PostedDocument[] = []
  readonly #options: JsonCdrOptions
  readonly #switchName: string
  #coreUuid: string
  #urlIndex = 0
  #life = newLife()

  constructor(options: JsonCdrOptions, coreUuid: string, switchName: string) {
    this.#options = options
    this.#coreUuid = coreUuid
    this.#switchName = switchName
  }

  get logsCalledLegs(): boolean {
    return this.#options.logBLeg ?? true
  }

  /** The switch dies: posts under way are broken off. @param coreUuid of its next life */
  restart(coreUuid: string): void {
    this.#life.abort()
    this.#life = newLife()
    this.#coreUuid = coreUuid
  }

  /** @returns once somebody has taken the document, or it is written to a file, or nobody will ever take it */
  async report(channel: Channel, about: LegDocument, clock: CallClock): Promise<void> {
    const { uuid } = channel
    const { urls, retries = 0, delayMs = defaultDelayMs } = this.#options
    const identity = { coreUuid: this.#coreUuid, switchName: this.#switchName }
    const text = JSON.stringify(cdrDocument(channel, about, identity))
    const { signal } = this.#life
    const statuses: number[] = []
    let isTaken = false
    for (let attempt = 0; attempt <= retries && !isTaken; attempt++) {
      if (attempt > 0) await new Promise<void>((resolve) => clock.after(delayMs, 'follow', resolve))
      const status = await this.#post(`${urls[this.#urlIndex] ?? ''}?uuid=${uuid}`, text, signal)
      clock.sync()
      if (signal.aborted) return new Promise(() => undefined)
      statuses.push(status)
      isTaken = status >= 200 && status < 300
      if (!isTaken) this.#urlIndex = (this.#urlIndex + 1) % urls.length
    }
    if (!isTaken) await this.#save(channel, text)
    this.documents.push({ uuid, text, statuses })
  }

  /** @returns the status, 0 if there was no answer */
  #post(url: string, text: string, signal: AbortSignal): Promise<number> {
    const { auth } = this.#options
    return new Promise((resolve) => {
      const post = request(url, {
        method: 'POST',
        agent: false,
        signal,
        ...(auth !== undefined && { auth }),
        headers: {
          'user-agent': 'freeswitch-json/1.0',
          accept: '*/*',
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(text),
        },
      })
      post.on('response', (response) => {
        response.resume()
        response.on('close', () => {
          resolve(response.complete ? (response.statusCode ?? 0) : 0)
        })
      })
      post.on('error', () => {
        resolve(0)
      })
      post.end(text)
    })
  }

  async #save(channel: Channel, text: string): Promise<void> {
    const { errLogDir, prefixALeg = false } = this.#options
    if (errLogDir === undefined) return
    const prefix = prefixALeg && channel.profile.fields.direction === 'inbound' ? 'a_' : ''
    await mkdir(errLogDir, { recursive: true })
    await writeFile(join(errLogDir, `${prefix}${channel.uuid}.cdr.json`), `${text}\n`)
  }
}

/** As many calls may end at once as there are. */
function newLife(): AbortController {
  const life = new AbortController()
  setMaxListeners(0, life.signal)
  return life
}
