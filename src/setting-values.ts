import { BlockList, isIP } from 'node:net'
import type { Retention } from './store/retention.js'

/** What the settings' texts mean (src/config.ts). Each function answers undefined for a text that is not allowed. */

/** Where to listen, or to connect. Port 0 takes a free one. */
export interface Address {
  host: string
  port: number
}

/** An inbound event socket of a FreeSWITCH. */
export interface SwitchAddress {
  readonly host: string
  readonly port: number
  readonly password: string
}

/** HTTP basic authentication. */
export interface Credentials {
  readonly user: string
  readonly password: string
}

export function address(text: string): Address | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  const host = bracketed ?? plain
  if (host === undefined || port > 65_535) return undefined
  if (bracketed !== undefined ? isIP(bracketed) !== 6 : !/^[A-Za-z0-9._-]+$/.test(host)) return undefined
  return { host, port }
}

export function url(...protocols: string[]): (text: string) => string | undefined {
  return (text) => {
    if (!URL.canParse(text)) return undefined
    const { protocol, hostname } = new URL(text)
    return protocols.includes(protocol) && hostname !== '' ? text : undefined
  }
}

export function path(text: string): string | undefined {
  return text.includes('\0') ? undefined : text
}

/** A URL that paths are appended to. */
export function urlPrefix(text: string): string | undefined {
  return url('http:', 'https:')(text) !== undefined && !/[?#]/.test(text) ? text : undefined
}

/** An absolute path whose parts nothing expands, separates or hides. */
export function recordingFolder(text: string): string | undefined {
  const isOne = /^(?:\/[A-Za-z0-9_@+=-][A-Za-z0-9_.@+=-]*){1,8}\/?$/.test(text)
  return isOne && text.length <= 100 ? text : undefined
}

export function whole(least: number, most: number): (text: string) => number | undefined {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN
    return value >= least && value <= most ? value : undefined
  }
}

export function flag(text: string): boolean | undefined {
  return text === 'true' ? true : text === 'false' ? false : undefined
}

export function oneOf<T extends string>(...values: T[]): (text: string) => T | undefined {
  return (text) => values.find((value) => value === text)
}

export function names(text: string): ReadonlySet<string> | undefined {
  if (text === '-') return new Set()
  const all = text.split(',').map((name) => name.trim())
  return all.every((name) => /^[A-Za-z0-9_.][A-Za-z0-9_.-]*$/.test(name)) ? new Set(all) : undefined
}

export function allowList(text: string): BlockList | undefined {
  const list = new BlockList()
  for (const entry of text.split(',')) {
    const [, ip = '', , digits] = /^([0-9A-Fa-f.:]+)(\/(\d{1,3}))?$/.exec(entry.trim()) ?? []
    const family = isIP(ip)
    if (family === 0) return undefined
    const bits = digits === undefined ? undefined : Number(digits)
    if (bits !== undefined && bits > (family === 4 ? 32 : 128)) return undefined
    const kind = family === 4 ? 'ipv4' : 'ipv6'
    if (bits === undefined) list.addAddress(ip, kind)
    else list.addSubnet(ip, bits, kind)
  }
  return list
}

/** The same as texts. */
export function addresses(text: string): string[] | undefined {
  return allowList(text) && text.split(',').map((entry) => entry.trim())
}

/** `https://admin.example.com`: nothing behind the port. */
export function origins(text: string): readonly string[] | undefined {
  const all = text.split(',').map((entry) => entry.trim())
  const isOrigin = (one: string) => url('http:', 'https:')(one) !== undefined && new URL(one).origin === one
  return all.every(isOrigin) ? all : undefined
}

/** `esl://:password@host:port` each; the password percent-encoded where a URL asks for it. */
export function switches(text: string): readonly SwitchAddress[] | undefined {
  const all = text.split(',').map((one): SwitchAddress | undefined => {
    const entry = one.trim()
    if (!URL.canParse(entry)) return undefined
    const { protocol, username, password, hostname, port, pathname, search, hash } = new URL(entry)
    const rest = username + pathname.replace(/^\/$/, '') + search + hash
    const plain = decoded(password)
    if (protocol !== 'esl:' || hostname === '' || plain === undefined || plain === '' || rest !== '')
      return undefined
    // It is written on a line of its own.
    if (/[\r\n\0]/.test(plain)) return undefined
    return {
      host: hostname.replace(/^\[(.*)\]$/, '$1'),
      port: port === '' ? 8021 : Number(port),
      password: plain,
    }
  })
  return all.every((one) => one !== undefined) ? all : undefined
}

export function credentials(text: string): Credentials | undefined {
  const [, user, password] = /^([^:\s]{1,64}):(\S{8,128})$/.exec(text) ?? []
  return user === undefined || password === undefined ? undefined : { user, password }
}

/** Whether a list allows no address but this machine's own. */
export function isLoopbackOnly(list: BlockList): boolean {
  return list.rules.every((rule) =>
    /(?:^| )(?:127\.[0-9.]+(?:\/(?:[89]|[12]\d|3[0-2]))?|::1(?:\/128)?)$/.test(rule),
  )
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** `400d` or `24m`: long enough that what still comes from a journal is not among it. */
export function retention(text: string): Retention | undefined {
  const [, digits, unit] = /^(\d{1,5})([dm])$/.exec(text) ?? []
  const count = Number(digits)
  if (unit === 'd') return count >= 62 && count <= 36_500 ? { unit: 'days', count } : undefined
  return unit === 'm' && count >= 2 && count <= 1_200 ? { unit: 'months', count } : undefined
}
