import { stampOf } from './events.js'
import type { Leg } from './legs.js'
import { templates } from './templates.js'

/** The columns of FreeSWITCH's table `channels`; all of them text. */
function rowOf({ channel, lastApplication }: Leg): Record<string, string> {
  const { fields } = channel.profile
  const codec = (value: string): string => (channel.hasCodecs ? value : '')
  return {
    uuid: channel.uuid,
    direction: fields.direction,
    created: stampOf(fields.created),
    created_epoch: Math.floor(fields.created / 1e6).toString(),
    name: channel.name,
    state: channel.runningState,
    cid_name: fields.callerIdName,
    cid_num: fields.callerIdNumber,
    ip_addr: '127.0.0.1',
    dest: fields.destination,
    application: lastApplication?.name ?? '',
    application_data: lastApplication?.argument ?? '',
    dialplan: 'XML',
    context: fields.context,
    read_codec: codec('PCMU'),
    read_rate: codec('8000'),
    read_bit_rate: codec('64000'),
    write_codec: codec('PCMU'),
    write_rate: codec('8000'),
    write_bit_rate: codec('64000'),
    secure: '',
    hostname: templates().switchName,
    presence_id: '',
    presence_data: '',
    accountcode: channel.variable('accountcode') ?? '',
    callstate: channel.callState,
    callee_name: fields.calleeIdName ?? '',
    callee_num: fields.calleeIdNumber ?? '',
    callee_direction: '',
    call_uuid: channel.callUuid,
    sent_callee_name: channel.variable('last_sent_callee_id_name') ?? '',
    sent_callee_num: channel.variable('last_sent_callee_id_number') ?? '',
    initial_cid_name: fields.origCallerIdName,
    initial_cid_num: fields.origCallerIdNumber,
    initial_ip_addr: '127.0.0.1',
    initial_dest: channel.earlierProfiles[0]?.destination ?? fields.destination,
    initial_dialplan: 'XML',
    initial_context: channel.earlierProfiles[0]?.context ?? fields.context,
  }
}

/** `show channels`, `show channels count`, `show channels as json` */
export function showChannels(legs: ReadonlyMap<string, Leg>, format: string): string {
  if (format === 'count') return `\n${legs.size} total.\n`
  if (format === 'as json' && legs.size === 0) return '{"row_count": 0}\n'
  const rows = [...legs.values()].map(rowOf)
  if (format === 'as json') return `${JSON.stringify({ row_count: rows.length, rows })}\n`
  if (rows.length === 0) return '\n0 total.\n'
  const lines = rows.map((row) => Object.values(row).join(','))
  return [Object.keys(rows[0] ?? {}).join(','), ...lines, '', `${rows.length} total.\n`].join('\n')
}
