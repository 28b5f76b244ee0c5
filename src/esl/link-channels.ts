import { ProtocolError } from './errors.js'

/** A channel that a FreeSWITCH has, as `show channels as json` tells it. */
export interface SwitchChannel {
  readonly uuid: string
  /** Of the call that the channel belongs to; FreeSWITCH gives a bridged leg its caller's. */
  readonly callUuid: string | undefined
  /** Seen from FreeSWITCH: a caller's leg is inbound. */
  readonly direction: 'inbound' | 'outbound'
  /** In µs since 1970, by the switch's clock and to its full second. */
  readonly createdAt: number
  /** `sofia/internal/1001@192.0.2.1` */
  readonly name: string
  /** `CS_EXECUTE`, `CS_EXCHANGE_MEDIA`, … */
  readonly state: string
  /** `DOWN`, `RINGING`, `EARLY`, `ACTIVE`, `HELD`, `HANGUP`, … */
  readonly callState: string
  /** The dialplan application that runs, such as `socket`, `bridge`, `park`; or empty. */
  readonly application: string
  readonly applicationData: string
  /** What was dialled. */
  readonly destination: string
  readonly context: string
}

/**
 * @param text the output of `show channels as json`: `{"row_count":2,"rows":[{"uuid":…},…]}`, without `rows`
 *   when there are none. Fields that are not needed may be missing or new.
 * @throws ProtocolError when it is not that, or not whole: whoever misses a channel here takes it for gone
 */
export function parseChannels(text: string): SwitchChannel[] {
  let list: { row_count?: unknown; rows?: unknown } | null
  try {
    list = JSON.parse(text) as typeof list
  } catch (error) {
    throw new ProtocolError('a list of channels that is no JSON', { cause: error })
  }
  const rows: unknown = list?.rows ?? []
  if (!Array.isArray(rows)) throw new ProtocolError('a list of channels without rows')
  if (list?.row_count !== rows.length) {
    throw new ProtocolError(`a list of ${String(list?.row_count)} channels that holds ${rows.length}`)
  }
  return rows.map((row) => channelOf(row as Row | null))
}

type Row = Readonly<Record<string, unknown>>

function channelOf(row: Row | null): SwitchChannel {
  const text = (name: string): string => {
    const value = row?.[name]
    return typeof value === 'string' ? value : ''
  }
  const uuid = text('uuid')
  const direction = text('direction')
  const createdSeconds = Number(row?.created_epoch ?? NaN)
  if (uuid === '' || (direction !== 'inbound' && direction !== 'outbound')) {
    throw new ProtocolError('a channel without uuid or direction')
  }
  if (!Number.isSafeInteger(createdSeconds) || createdSeconds <= 0)
    throw new ProtocolError('a channel without created_epoch')
  return {
    uuid,
    callUuid: text('call_uuid') || undefined,
    direction,
    createdAt: createdSeconds * 1_000_000,
    name: text('name'),
    state: text('state'),
    callState: text('callstate'),
    application: text('application'),
    applicationData: text('application_data'),
    destination: text('dest'),
    context: text('context'),
  }
}
