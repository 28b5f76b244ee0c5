import { recordingPath, type RecordingPath } from '../../channel/recording.js'
import type { CallRecord } from '../../store/call-record.js'
import type { Tenant } from '../../store/catalog.js'
import type { Identity } from '../identify.js'
import type { RecordedCall, RecordingTemplate } from './recording-template.js'

export interface RecordingsOptions {
  /** RECORDINGS_DIR, absolute, as the switch sees it. */
  readonly dir: string
  /** RECORDINGS_URL: where the folder can be fetched from. */
  readonly url: string | undefined
  readonly template: RecordingTemplate
  readonly isStereo: boolean
}

/** A file that the switch records the call to, at once or when it talks. */
export interface PlannedRecording {
  readonly path: string
  /** It writes no more to it: that was stopped, or broke off. */
  readonly isOver: boolean
  /** What the call was recorded to before, oldest first. */
  readonly earlier?: readonly string[]
}

/** Which calls are recorded, where to, and where that can be fetched. */
export class Recordings {
  readonly isStereo: boolean
  readonly #dir: string
  readonly #url: string | undefined
  readonly #template: RecordingTemplate

  constructor({ dir, url, template, isStereo }: RecordingsOptions) {
    this.#dir = dir.replace(/\/+$/, '')
    this.#url = url?.replace(/\/+$/, '')
    this.#template = template
    this.isStereo = isStereo
  }

  /**
   * A name that the call has not had yet: FreeSWITCH empties a file that exists (mod_sndfile).
   * @param earlier the call's latest recording
   * @throws UnsafeArgument when it is longer than a path may be
   */
  pathOf(call: RecordedCall, earlier?: string): RecordingPath {
    const stem = `${this.#dir}/${this.#template.fill(call)}`
    const { ending } = this.#template
    return recordingPath(stem + suffixAfter(earlier, stem, ending) + ending)
  }

  /** @returns undefined for what is not in the folder of recordings, or when nobody has said where that is served */
  urlOf(path: string): string | undefined {
    if (this.#url === undefined || !path.startsWith(`${this.#dir}/`)) return undefined
    const segments = path.slice(this.#dir.length + 1).split('/')
    if (segments.some((segment) => segment === '' || segment === '.' || segment === '..')) return undefined
    return [this.#url, ...segments.map(encodeURIComponent)].join('/')
  }

  /** The record with where its recording can be fetched. */
  located(record: CallRecord): CallRecord {
    const url = record.recordingPath === null ? undefined : this.urlOf(record.recordingPath)
    return url === undefined ? record : { ...record, recordingUrl: url }
  }
}

/** Whether a call is to be recorded: as its route wants it, else by its tenant's rules. */
export function isToBeRecorded(
  tenant: Pick<Tenant, 'recordDirections'>,
  { direction }: Pick<Identity, 'direction'>,
  isRecorded: boolean | undefined,
): boolean {
  return isRecorded ?? tenant.recordDirections.has(direction)
}

/** `-2` for the second recording of a call, and so on. */
function suffixAfter(earlier: string | undefined, stem: string, ending: string): string {
  if (!earlier?.startsWith(stem) || !earlier.endsWith(ending)) return ''
  const between = earlier.slice(stem.length, -ending.length)
  if (between === '') return '-2'
  const [, number] = /^-([0-9]{1,4})$/.exec(between) ?? []
  return number === undefined ? '' : `-${Number(number) + 1}`
}
