import { createHash, randomBytes } from 'node:crypto'

import type { CallRecord } from '../store/call-record.js'
import { JournalError } from './errors.js'

/**
 * What the journal keeps, as text: JSON with a version, so that a release can tell what another one wrote. A
 * `CallRecord` has a version of its own besides.
 */
const version = 1

/** A call in progress. */
export interface OpenCall {
  readonly uuid: string
  /** What whoever opened it wants to know after a crash; safe to be written as JSON and read back. */
  readonly data: unknown
}

/** What the switch told of a leg that is over, beside the call's own session. */
export interface KeptDocument {
  readonly callUuid: string
  readonly legUuid: string
  /** As it came. */
  readonly text: string
}

/** What is told of a record that cannot be delivered. */
export interface AsideEntry {
  readonly reason: string
  /** When it was set aside: RFC 3339, UTC. */
  readonly at: string
  /** As it was in the journal. */
  readonly entry: string
}

export function encodeRecord(record: CallRecord): string {
  return `{"v":${version},"record":${JSON.stringify(record)}}`
}

export function encodeOpenCall(uuid: string, data: unknown): string {
  return JSON.stringify({ v: version, uuid, data })
}

export function encodeDocument(document: KeptDocument): string {
  return JSON.stringify({ v: version, ...document })
}

export function encodeAside(entry: AsideEntry): string {
  return JSON.stringify({ v: version, ...entry })
}

/** @throws JournalError `unreadable` */
export function decodeRecord(text: string): CallRecord {
  const { record } = decode(text)
  if (!isObject(record)) throw new JournalError('unreadable', 'the entry holds no record')
  // Whether it is whole is asked by what commits it.
  return record as unknown as CallRecord
}

/** @throws JournalError `unreadable` */
export function decodeOpenCall(text: string): OpenCall {
  const { uuid, data } = decode(text)
  if (typeof uuid !== 'string') throw new JournalError('unreadable', 'the entry names no call')
  return { uuid, data }
}

/** @throws JournalError `unreadable` */
export function decodeDocument(entry: string): KeptDocument {
  const { callUuid, legUuid, text } = decode(entry)
  if (typeof callUuid !== 'string' || typeof legUuid !== 'string' || typeof text !== 'string')
    throw new JournalError('unreadable', 'the entry does not say what was told of which leg')
  return { callUuid, legUuid, text }
}

/** @throws JournalError `unreadable` */
export function decodeAside(text: string): AsideEntry {
  const { reason, at, entry } = decode(text)
  if (typeof reason !== 'string' || typeof at !== 'string' || typeof entry !== 'string')
    throw new JournalError('unreadable', 'the entry does not say what was set aside')
  return { reason, at, entry }
}

/**
 * What the entry of a record holds, whatever release wrote it: to be looked at, not to be delivered.
 *
 * @returns undefined when it holds nothing that can be read
 */
export function peekRecord(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const entry: unknown = JSON.parse(text)
    return isObject(entry) && isObject(entry.record) ? entry.record : undefined
  } catch {
    return undefined
  }
}

function decode(text: string): Record<string, unknown> {
  let entry: unknown
  try {
    entry = JSON.parse(text)
  } catch (error) {
    throw new JournalError('unreadable', 'the entry is damaged', { cause: error })
  }
  if (!isObject(entry)) throw new JournalError('unreadable', 'the entry is damaged')
  if (entry.v !== version)
    throw new JournalError(
      'unreadable',
      `the entry is of version ${String(entry.v)}, which this release does not know`,
    )
  return entry
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The key of a call's open record, and the part of a leg in that of its document. */
export function openKey(uuid: string): string {
  // The switch may be told to use the SIP Call-ID, which is as long as a caller likes; a key is not.
  return /^[\x20-\x7e]{1,256}$/.test(uuid)
    ? uuid
    : `sha256:${createHash('sha256').update(uuid).digest('hex')}`
}

/** What the keys of a call's documents begin with: no key of another call does. */
export function documentPrefix(callUuid: string): string {
  return `${openKey(callUuid)}\n`
}

/** The key of a leg's document: one for each leg of a call. */
export function documentKey(callUuid: string, legUuid: string): string {
  return documentPrefix(callUuid) + openKey(legUuid)
}

/** @param key of a document; @returns the key of its call's open record */
export function callOfDocument(key: string): string {
  return key.slice(0, key.indexOf('\n'))
}

/**
 * Keys that sort in the order in which they were made. No process makes one that another has made, so that two
 * journals may be put together.
 */
export class KeySequence {
  readonly #suffix = randomBytes(6).toString('hex')
  #last: number

  /** @param newest the greatest key so far: a clock that was set back must not put new ones before it */
  constructor(newest = '') {
    this.#last = Number(/^\d{16}(?=-)/.exec(newest)?.[0] ?? 0)
  }

  next(): string {
    this.#last = Math.max(this.#last + 1, Date.now() * 1000)
    return `${String(this.#last).padStart(16, '0')}-${this.#suffix}`
  }
}

/** When a key of a `KeySequence` was made, in ms since 1970. */
export function madeAt(key: string): number | undefined {
  const micros = /^\d{16}(?=-)/.exec(key)?.[0]
  return micros === undefined ? undefined : Math.floor(Number(micros) / 1000)
}
