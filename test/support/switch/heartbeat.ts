import { Header } from './headers.js'

/** Of a switch, for its HEARTBEAT. */
export interface Vitals {
  /** µs */
  readonly upFor: number
  readonly sessions: number
  readonly sessionsSinceStartup: number
}

/** FreeSWITCH beats every 20 s unless told. */
const intervalSeconds = 20

/** HEARTBEAT's own headers. None is recorded: after FreeSWITCH's documentation. */
export function heartbeatHeaders({ upFor, sessions, sessionsSinceStartup }: Vitals): Header[] {
  const values: Readonly<Record<string, string | number>> = {
    'Event-Info': 'System Ready',
    'Up-Time': upTime(upFor),
    'FreeSWITCH-Version': '1.11.3-dev',
    'Uptime-msec': Math.floor(upFor / 1000),
    'Session-Count': sessions,
    'Max-Sessions': 10000,
    'Session-Per-Sec': 2000,
    'Session-Since-Startup': sessionsSinceStartup,
    'Idle-CPU': '99.000000',
    'Heartbeat-Interval': intervalSeconds,
  }
  return Object.entries(values).map(([name, value]) => new Header(name, value.toString()))
}

function upTime(us: number): string {
  const parts = [
    ['years', 0],
    ['days', Math.floor(us / 86_400e6)],
    ['hours', Math.floor(us / 3600e6) % 24],
    ['minutes', Math.floor(us / 60e6) % 60],
    ['seconds', Math.floor(us / 1e6) % 60],
    ['milliseconds', Math.floor(us / 1000) % 1000],
    ['microseconds', us % 1000],
  ] as const
  return parts.map(([unit, count]) => `${count} ${unit}`).join(', ')
}
