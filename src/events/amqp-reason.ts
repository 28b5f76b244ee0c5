/** Of a channel: somebody has declared the thing otherwise. */
export const preconditionFailed = 406

/** RabbitMQ's own code of an error; undefined: it has none. */
export function codeOf(error: unknown): number | undefined {
  const { code } = error as { code?: unknown }
  return typeof code === 'number' ? code : undefined
}

/** Why something failed, in one line, in RabbitMQ's words where it said any. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(', ')
  const message = error instanceof Error ? error.message : String(error)
  const [, said = message] = /with message "(.*)"/s.exec(message) ?? []
  return said.replace(/\s+/g, ' ').slice(0, 300)
}

/** Why a connection could not be made, in one line without the password. @param url AMQP_URL */
export function connectReason(error: unknown, url: string): string {
  const { host, pathname } = new URL(url)
  const message = error instanceof Error ? error.message : ''
  if (message.includes('ACCESS_REFUSED')) return `it refuses the user or the password of AMQP_URL (${host})`
  // Of a virtual host that it does not have, or does not let this user into, the library keeps no words.
  if (message.startsWith('Expected ConnectionOpenOk'))
    return `it does not let the user of AMQP_URL into the virtual host ${virtualHost(pathname)} (${host})`
  return `${reasonOf(error)} (${host})`
}

/** @param pathname of the URL: `/%2f`, or nothing, is the virtual host `/` */
function virtualHost(pathname: string): string {
  const name = pathname.slice(1)
  try {
    return JSON.stringify(name === '' ? '/' : decodeURIComponent(name))
  } catch {
    return JSON.stringify(name)
  }
}
