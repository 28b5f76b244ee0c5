import type { Logger } from 'pino'
import { Recordings } from './call/recording/recording.js'
import { RecordingsRetention } from './call/recording/recordings-retention.js'
import type { Config } from './config.js'

export interface OpenRecordings {
  /** Undefined: nothing is recorded. */
  readonly recordings: Recordings | undefined
  close(): Promise<void>
}

/** What RECORDINGS_… ask for: where calls are recorded to, and the end of what is old. */
export function openRecordings(config: Config, log: Logger): OpenRecordings {
  const {
    recordingsDir: dir,
    recordingsUrl: url,
    recordingsPath: template,
    recordingsStereo: isStereo,
  } = config
  if (dir === undefined) return { recordings: undefined, close: () => Promise.resolve() }
  const recordings = new Recordings({ dir, url, template, isStereo })
  const days = config.recordingsRetentionDays
  if (days === 0) return { recordings, close: () => Promise.resolve() }
  const retention = new RecordingsRetention({ dir, template, days, log })
  retention.start()
  return { recordings, close: () => retention.close() }
}
