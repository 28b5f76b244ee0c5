import { BlockList, isIP } from 'node:net'
import { parseEnv } from 'node:util'
import { getCountries } from 'libphonenumber-js'
import type { Country } from './numbering/normal-form.js'

/**
 * A setting that cannot be used, in one line: its name, the value (never a secret's) and what is allowed.
 * The process ends with exit code 78 (EX_CONFIG).
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/** Where to listen. Port 0 takes a free one. */
export interface Address {
  host: string
  port: number
}

interface Setting<T> {
  name: string
  /** As text, as it would be entered; undefined when there is none. */
  default?: string
  /** What is allowed, to complete "…: allowed is". */
  allowed: string
  purpose: string
  isSecret?: true
  /** undefined when the text is not allowed. */
  parse(text: string): T | undefined
}

const setting = <T>(setting: Setting<T>): Setting<T> => setting

/** Every setting there is: what reads them, .env.example and the README are made from this table. */
export const settings = {
  eslListen: setting({
    name: 'ESL_LISTEN',
    default: '127.0.0.1:9000',
    allowed: 'host:port, such as 0.0.0.0:9000 or [::]:9000',
    purpose: "Where FreeSWITCH's `socket` action connects",
    parse: address,
  }),
  httpListen: setting({
    name: 'HTTP_LISTEN',
    default: '127.0.0.1:8080',
    allowed: 'host:port, such as 0.0.0.0:8080 or [::]:8080',
    purpose: 'Where the admin API listens',
    parse: address,
  }),
  databaseUrl: setting({
    name: 'DATABASE_URL',
    allowed: 'postgres://user:password@host:port/database',
    purpose: 'A PostgreSQL of your own; without it an embedded one runs in DATA_DIR',
    isSecret: true,
    parse: url('postgres:', 'postgresql:'),
  }),
  redisUrl: setting({
    name: 'REDIS_URL',
    allowed: 'redis://:password@host:port/number or rediss://...',
    purpose: 'A Redis of your own; without it an embedded one runs in DATA_DIR',
    isSecret: true,
    parse: url('redis:', 'rediss:'),
  }),
  dataDir: setting({
    name: 'DATA_DIR',
    default: '.linger',
    allowed: "a folder's path",
    purpose:
      'Where the journal and the embedded services are; on a disk that stays; one running server per folder',
    parse: path,
  }),
  eslAllow: setting({
    name: 'ESL_ALLOW',
    default: '127.0.0.0/8,::1',
    allowed: 'addresses and CIDR ranges with commas between, such as 127.0.0.1,10.0.0.0/8',
    purpose: 'Who may open an event socket: the addresses of your FreeSWITCHes',
    parse: allowList,
  }),
  maxCalls: setting({
    name: 'MAX_CALLS',
    default: '5000',
    allowed: 'a whole number from 1 to 100000',
    purpose: 'Calls at once; one more is refused with SIP 503',
    parse: whole(1, 100_000),
  }),
  adminKey: setting({
    name: 'ADMIN_KEY',
    allowed: '24 to 128 characters of A-Z a-z 0-9 _ -',
    purpose: 'An admin key; without it one is made at the first start and shown once',
    isSecret: true,
    parse: (text) => (/^[A-Za-z0-9_-]{24,128}$/.test(text) ? text : undefined),
  }),
  logLevel: setting({
    name: 'LOG_LEVEL',
    default: 'info',
    allowed: 'trace, debug, info, warn, error, fatal or silent',
    purpose: 'How much is logged',
    parse: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
  }),
  logFile: setting({
    name: 'LOG_FILE',
    allowed: "a file's path",
    purpose: 'A file that the log goes to besides the console; opened again at SIGHUP',
    parse: path,
  }),
  trustedProfiles: setting({
    name: 'TRUSTED_PROFILES',
    default: 'internal',
    allowed: 'names of SIP profiles with commas between, or - for none',
    purpose: 'SIP profiles whose callers are who their number says, without registration',
    parse: names,
  }),
  defaultCountry: setting({
    name: 'DEFAULT_COUNTRY',
    default: 'VN',
    allowed: "a country's two letters, such as VN",
    purpose: "The country whose way of writing numbers holds where no tenant's does",
    parse: oneOf<Country>(...getCountries()),
  }),
  screeningFailOpen: setting({
    name: 'SCREENING_FAIL_OPEN',
    default: 'true',
    allowed: 'true or false',
    purpose: 'Whether calls go through unscreened (true) or are refused (false) while Redis is away',
    parse: flag,
  }),
  screeningTimeoutMs: setting({
    name: 'SCREENING_TIMEOUT_MS',
    default: '200',
    allowed: 'a whole number from 10 to 5000',
    purpose: 'How long a call waits for Redis, in milliseconds',
    parse: whole(10, 5_000),
  }),
  creditSliceSeconds: setting({
    name: 'CREDIT_SLICE_SECONDS',
    default: '300',
    allowed: 'a whole number from 2 to 86400',
    purpose: 'How much time of a charged leg is reserved at once, in seconds',
    parse: whole(2, 86_400),
  }),
  creditTimeoutMs: setting({
    name: 'CREDIT_TIMEOUT_MS',
    default: '1000',
    allowed: 'a whole number from 50 to 30000',
    purpose: 'How long a leg waits for PostgreSQL to reserve its credit, in milliseconds',
    parse: whole(50, 30_000),
  }),
  creditRefuseWhenAway: setting({
    name: 'CREDIT_REFUSE_WHEN_AWAY',
    default: 'true',
    allowed: 'true or false',
    purpose: 'Whether new prepaid legs are refused (true), or may overdraw (false), while PostgreSQL is away',
    parse: flag,
  }),
  finalEventSeconds: setting({
    name: 'FINAL_EVENT_SECONDS',
    default: '20',
    allowed: 'a whole number from 1 to 600',
    purpose: 'How long the final event is awaited after the hangup, in seconds',
    parse: whole(1, 600),
  }),
  lingerSeconds: setting({
    name: 'LINGER_SECONDS',
    default: '30',
    allowed: 'a whole number from 2 to 900, more than FINAL_EVENT_SECONDS',
    purpose: 'How long FreeSWITCH keeps the socket open after the hangup, in seconds',
    parse: whole(2, 900),
  }),
  drainSeconds: setting({
    name: 'DRAIN_SECONDS',
    default: '30',
    allowed: 'a whole number from 0 to 86400',
    purpose: 'How long a stop waits for calls to end before it leaves them to the dialplan, in seconds',
    parse: whole(0, 86_400),
  }),
}

type Settings = typeof settings
type Value<S> = S extends Setting<infer T> ? T : never

/** Settings that have no default are undefined unless given. */
type Optional = 'databaseUrl' | 'redisUrl' | 'adminKey' | 'logFile'

export type Config = Readonly<
  { [K in Exclude<keyof Settings, Optional>]: Value<Settings[K]> } & {
    [K in Optional]: Value<Settings[K]> | undefined
  }
>

/**
 * Reads the settings: from `env`, else from the text of a .env file, else the default. An empty value counts
 * as none.
 * @throws ConfigError at the first setting that cannot be used
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>, envFileText = ''): Config {
  const file = parseEnv(envFileText)
  const given = (name: string): string | undefined => (env[name] || file[name])?.trim() || undefined
  const config = Object.fromEntries(
    Object.entries(settings).map(([key, one]) => {
      const text = given(one.name) ?? ('default' in one ? one.default : undefined)
      if (text === undefined) return [key, undefined]
      const value = one.parse(text)
      if (value === undefined) throw wrong(one, text)
      return [key, value]
    }),
  ) as Config
  if (config.lingerSeconds <= config.finalEventSeconds) {
    throw wrong(settings.lingerSeconds, String(config.lingerSeconds))
  }
  return config
}

function wrong({ name, allowed, isSecret }: Setting<unknown>, text: string): ConfigError {
  // JSON's escapes keep whatever was entered on one line.
  const value = isSecret ? 'a value (not shown, it is a secret)' : JSON.stringify(text)
  return new ConfigError(`${name} is ${value}; allowed is ${allowed}`)
}

function address(text: string): Address | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  const host = bracketed ?? plain
  if (host === undefined || port > 65_535) return undefined
  if (bracketed !== undefined ? isIP(bracketed) !== 6 : !/^[A-Za-z0-9._-]+$/.test(host)) return undefined
  return { host, port }
}

function url(...protocols: string[]): (text: string) => string | undefined {
  return (text) => {
    if (!URL.canParse(text)) return undefined
    const { protocol, hostname } = new URL(text)
    return protocols.includes(protocol) && hostname !== '' ? text : undefined
  }
}

function path(text: string): string | undefined {
  return text.includes('\0') ? undefined : text
}

function whole(least: number, most: number): (text: string) => number | undefined {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN
    return value >= least && value <= most ? value : undefined
  }
}

function flag(text: string): boolean | undefined {
  return text === 'true' ? true : text === 'false' ? false : undefined
}

function oneOf<T extends string>(...values: T[]): (text: string) => T | undefined {
  return (text) => values.find((value) => value === text)
}

function names(text: string): ReadonlySet<string> | undefined {
  if (text === '-') return new Set()
  const all = text.split(',').map((name) => name.trim())
  return all.every((name) => /^[A-Za-z0-9_.][A-Za-z0-9_.-]*$/.test(name)) ? new Set(all) : undefined
}

function allowList(text: string): BlockList | undefined {
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

/** The text of .env.example. */
export function envExample(): string {
  const entries = Object.values(settings as Record<string, Setting<unknown>>).map(
    ({ name, default: value = '', allowed, purpose }) =>
      `# ${purpose}.\n# Allowed: ${allowed}.\n${name}=${value}\n`,
  )
  return `# Settings of Linger. Copy to .env and change; the environment wins over the file.\n\n${entries.join('\n')}`
}

/** The README's table of settings, in Markdown. */
export function settingsTable(): string {
  const rows = Object.values(settings as Record<string, Setting<unknown>>).map(
    ({ name, default: value, allowed, purpose }) =>
      `| \`${name}\` | ${value === undefined ? '' : `\`${value}\``} | ${purpose} | ${allowed} |\n`,
  )
  return `| Setting | Default | What for | Allowed |\n| --- | --- | --- | --- |\n${rows.join('')}`
}
