/** What an operator must know after a start. */
export interface StartFacts {
  /** `host:port`, as bound. */
  eslAddress: string
  httpAddress: string
  postgres: Service
  redis: Service
  /** Absolute. */
  dataDir: string
  logFile?: string | undefined
  /** Only when it was made just now: it is never shown again. */
  firstAdminKey?: string | undefined
}

export interface Service {
  /** `embedded`, `embedded, built-in`, or `external`. */
  kind: string
  /** With the password, which is not shown. */
  url: string
}

/** The one screen that is printed when everything runs. */
export function startScreen(facts: StartFacts): string {
  const socket = reachable(facts.eslAddress)
  const key = facts.firstAdminKey ?? '$ADMIN_KEY'
  return `
Linger runs. Ctrl-C stops it, after the calls in progress.

  Calls        ${facts.eslAddress} (FreeSWITCH's socket action)
  Admin API    http://${facts.httpAddress}
  PostgreSQL   ${place(facts.postgres)}
  Redis        ${place(facts.redis)}
  Data         ${facts.dataDir}${facts.logFile === undefined ? '' : `\n  Log          ${facts.logFile}`}
${facts.firstAdminKey === undefined ? '' : firstKey(facts.firstAdminKey)}
In FreeSWITCH's dialplan (the whole of it, with a second server and a refusal, is in dialplan/):

  <action application="set" data="hangup_after_bridge=false"/>
  <action application="set" data="continue_on_fail=true"/>
  <action application="sched_hangup" data="+15 NORMAL_TEMPORARY_FAILURE"/>
  <action application="socket" data="${socket} async full"/>

See a call without a FreeSWITCH, in another terminal: npm run demo
See what was billed:
  curl -H "Authorization: Bearer ${key}" http://${reachable(facts.httpAddress)}/v1/cdrs
`
}

function firstKey(key: string): string {
  return `
  Admin key    ${key}
               Made at this first start. Keep it: it is not shown again.
`
}

function place({ kind, url }: Service): string {
  const { host, pathname } = new URL(url)
  return `${kind}, ${host}${pathname}`
}

/** What another program on this machine connects to when a server is bound to every address. */
function reachable(address: string): string {
  return address.replace(/^(0\.0\.0\.0|\[::\]):/, '127.0.0.1:')
}
