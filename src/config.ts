import { parseEnv } from 'node:util'
import { getCountries } from 'libphonenumber-js'
import type { Country } from './numbering/normal-form.js'
import { setting, type Setting } from './setting.js'
import { address, allowList, flag, isLoopbackOnly, names, oneOf, path, url, whole } from './setting-values.js'
import { httpSettings } from './settings-http.js'
import { recordingSettings } from './settings-recordings.js'
import { switchSettings } from './settings-switch.js'

/**
 * A setting that cannot be used, in one line: its name, the value (never a secret's) and what is allowed.
 * The process ends with exit code 78 (EX_CONFIG).
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

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
  ...httpSettings,
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
  amqpUrl: setting({
    name: 'AMQP_URL',
    allowed: 'amqp://user:password@host:port/vhost or amqps://...',
    purpose: 'The RabbitMQ that is told what happens to calls; without it nobody is',
    isSecret: true,
    parse: url('amqp:', 'amqps:'),
  }),
  eventsMaxMb: setting({
    name: 'EVENTS_MAX_MB',
    default: '8192',
    allowed: 'a whole number from 1 to 1000000',
    purpose:
      'What of the disk of DATA_DIR events may take while RabbitMQ is away, in MiB; then the oldest are lost',
    parse: whole(1, 1_000_000),
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
  gatewayRestSeconds: setting({
    name: 'GATEWAY_REST_SECONDS',
    default: '15',
    allowed: 'a whole number from 1 to 3600',
    purpose:
      'How long a gateway is rested that failed three times in a row, in seconds; doubled each time it fails again, 20 times as long at most',
    parse: whole(1, 3_600),
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
  ...switchSettings,
  routesDir: setting({
    name: 'ROUTES_DIR',
    allowed: "a folder's path",
    purpose: 'Call flows of your own, a JavaScript module each, beside those built in',
    parse: path,
  }),
  checkphoneRefuses: setting({
    name: 'CHECKPHONE_REFUSES',
    default: 'false',
    allowed: 'true or false',
    purpose:
      'Whether the route `checkphone` refuses a blacklisted caller (true) or tells the dialplan (false)',
    parse: flag,
  }),
  ...recordingSettings,
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
type Optional =
  | 'databaseUrl'
  | 'redisUrl'
  | 'amqpUrl'
  | 'adminKey'
  | 'httpTrustedProxies'
  | 'httpCorsOrigins'
  | 'logFile'
  | 'freeswitch'
  | 'switchAuth'
  | 'cdrDir'
  | 'routesDir'
  | 'recordingsDir'
  | 'recordingsUrl'
  | 'cdrRetention'

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
  if (config.switchAuth === undefined && !isLoopbackOnly(config.switchAllow)) {
    throw new ConfigError(
      'SWITCH_AUTH is not set; SWITCH_ALLOW names other machines, which must prove who they are',
    )
  }
  return config
}

function wrong({ name, allowed, isSecret }: Setting<unknown>, text: string): ConfigError {
  // JSON's escapes keep whatever was entered on one line.
  const value = isSecret ? 'a value (not shown, it is a secret)' : JSON.stringify(text)
  return new ConfigError(`${name} is ${value}; allowed is ${allowed}`)
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
