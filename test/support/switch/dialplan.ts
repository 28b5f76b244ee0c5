import { Listener } from './listener.js'
import type { Session } from './session.js'

/** Where a server listens, and the route that it is asked for: `socket HOST:PORT/PATH async full`. */
export interface Destination {
  readonly host: string
  readonly port: number
  readonly path?: string
}

/** One `<action>` of a dialplan. A `socket` has its hosts tried in turn, and perhaps a guard timer before it. */
export type Action =
  | { readonly socket: readonly Destination[]; readonly guardSeconds?: number }
  | { readonly application: string; readonly argument?: string }

/** One application as the dialplan's XML has it. */
export interface PlannedApplication {
  readonly name: string
  readonly argument: string
}

/**
 * Runs a dialplan until it, or somebody else, ends or transfers the call.
 *
 * @param plan what is left of it: what has begun is taken away
 */
export async function perform(session: Session, plan: PlannedApplication[]): Promise<void> {
  while (session.isReady) {
    const next = plan.shift()
    if (next === undefined) return
    await session.execute(next.name, next.argument)
  }
}

/** Actions as the applications that they are. */
export function applicationsOf(actions: readonly Action[]): PlannedApplication[] {
  return actions.flatMap((action): PlannedApplication[] => {
    if ('application' in action) return [{ name: action.application, argument: action.argument ?? '' }]
    const socket = { name: 'socket', argument: `${action.socket.map(written).join('|')} async full` }
    if (action.guardSeconds === undefined) return [socket]
    return [{ name: 'sched_hangup', argument: `+${action.guardSeconds} ${guardCause}` }, socket]
  })
}

/**
 * The actions of a dialplan's XML (`dialplan/linger.xml`), its sockets led elsewhere.
 *
 * @param to where each `socket` of it goes
 */
export function actionsIn(xml: string, to: readonly Destination[]): Action[] {
  const withoutComments = xml.replace(/<!--.*?-->/gs, '')
  return [...withoutComments.matchAll(/<action application="([^"]*)"(?: data="([^"]*)")?\/>/g)].map(
    ([, application = '', argument = '']): Action =>
      application === 'socket' ? { socket: to } : { application, argument },
  )
}

const guardCause = 'NORMAL_TEMPORARY_FAILURE'

function written({ host, port, path }: Destination): string {
  return `${host}:${port}${path === undefined ? '' : `/${path}`}`
}

function read(text: string): Destination {
  const [, host = '', port = '8084', path] = /^(.*?)(?::(\d+))?(?:\/(.*))?$/.exec(text) ?? []
  return path === undefined ? { host, port: Number(port) } : { host, port: Number(port), path }
}

/**
 * The application `socket`. A refused connection is not waited for: the next host, then the next action.
 * One that is accepted holds the channel until `connect` comes, for ever if it does not.
 */
export async function connectSocket(session: Session, argument: string): Promise<void> {
  const [hosts = ''] = argument.split(' ')
  const { variables } = session.channel
  for (const text of hosts.split('|')) {
    const destination = read(text)
    if (destination.path !== undefined) variables.set('socket_path', destination.path)
    variables.set('socket_host', destination.host)
    const listener = await Listener.connect(session, destination)
    if (listener === undefined) continue
    while (!listener.isConnected) if ((await session.wait(['connected'])) !== 'connected') return
    if (session.listeners.has(listener)) await park(session)
    return
  }
}

/** The channel is its server's: it does what the server sends, until the server lets go of it. */
async function park(session: Session): Promise<void> {
  session.isControlled = true
  session.fire('CHANNEL_PARK')
  while ((await session.wait(['message', 'released'])) === 'message') await session.processMessages()
  session.fire('CHANNEL_UNPARK')
  // What was sent before the server went is still done.
  await session.processMessages()
}
