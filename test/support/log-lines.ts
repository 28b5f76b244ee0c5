import { pino, type Logger } from 'pino'

export interface LogLine {
  level: number
  msg: string
  [field: string]: unknown
}

/** A logger, and what it wrote. */
export function logLines(): { log: Logger; lines: LogLine[]; warnings: () => string[] } {
  const lines: LogLine[] = []
  const log = pino({ level: 'trace' }, { write: (text) => lines.push(JSON.parse(text) as LogLine) })
  const warnings = () => lines.filter(({ level }) => level === log.levels.values.warn).map(({ msg }) => msg)
  return { log, lines, warnings }
}
