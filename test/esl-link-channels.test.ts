import t from 'tap'
import { ProtocolError } from '../src/esl/errors.js'
import { Link } from '../src/esl/link.js'
import { outcome } from './support/connection.js'
import { apiResponse } from './support/frames.js'
import { InboundPeer } from './support/inbound-peer.js'
import { logLines } from './support/log-lines.js'
import { bytesOf, framesIn, transcript, until } from './support/wire.js'

const peer = await InboundPeer.listen(t)
const link = new Link({ host: '127.0.0.1', port: peer.port, password: 'ClueCon', log: logLines().log })
t.teardown(() => link.close())
await until(() => link.isUp)

/** As FreeSWITCH's database has it, all of it text. */
const row = {
  uuid: '22cfa0da-4c71-4fac-ad14-520c17a6683a',
  direction: 'inbound',
  created: '2026-11-20 21:03:43',
  created_epoch: '1795208623',
  name: 'sofia/internal/0912406496@127.0.0.1:5071',
  state: 'CS_EXECUTE',
  cid_name: '0912406496',
  cid_num: '0912406496',
  ip_addr: '127.0.0.1',
  dest: '0901234567',
  application: 'bridge',
  application_data: '[linger_leg=a:b,c="},{"]sofia/gateway/carrier1/84901234567',
  dialplan: 'XML',
  context: 'public',
  read_codec: 'PCMU',
  callstate: 'ACTIVE',
  call_uuid: '',
}

/** What `channels` makes of an output. */
async function listed(output: string) {
  peer.script = (command) => (command === 'api show channels as json' ? apiResponse(output) : undefined)
  return link.channels()
}

t.test('a switch without calls, as it was recorded', async (t) => {
  const none = framesIn(bytesOf(transcript('inbound-monitor-and-originate'))).find(({ body }) =>
    body.startsWith('{"row_count"'),
  )
  t.strictSame(await listed(none?.body ?? ''), [])
})

t.test('a channel is told by what it is, does and belongs to', async (t) => {
  const called = {
    uuid: 'b-leg',
    direction: 'outbound',
    created_epoch: 1795208624,
    call_uuid: row.uuid,
    new_in_1_12: { a: [1] },
  }
  t.strictSame(await listed(JSON.stringify({ row_count: 2, rows: [row, called] })), [
    {
      uuid: row.uuid,
      callUuid: undefined,
      direction: 'inbound',
      createdAt: 1_795_208_623_000_000,
      name: row.name,
      state: 'CS_EXECUTE',
      callState: 'ACTIVE',
      application: 'bridge',
      applicationData: row.application_data,
      destination: '0901234567',
      context: 'public',
    },
    {
      uuid: 'b-leg',
      callUuid: row.uuid,
      direction: 'outbound',
      createdAt: 1_795_208_624_000_000,
      name: '',
      state: '',
      callState: '',
      application: '',
      applicationData: '',
      destination: '',
      context: '',
    },
  ])
})

t.test('ten thousand channels, some megabytes', async (t) => {
  const rows = Array.from({ length: 10_000 }, (_, index) => ({
    ...row,
    uuid: `channel-${index}`,
    application_data: 'x'.repeat(600),
  }))
  const output = JSON.stringify({ row_count: rows.length, rows })
  t.ok(output.length > 8_000_000)
  const channels = await listed(output)
  t.equal(channels.length, 10_000)
  t.equal(channels.at(-1)?.uuid, 'channel-9999')
  t.ok(link.isUp)
})

t.test('a list that may not be whole is no list: what it misses would be taken for gone', async (t) => {
  const wrong = {
    'no JSON': `{"row_count":1,"rows":[${JSON.stringify(row).slice(0, -9)}`,
    'no object': 'null',
    'no count': JSON.stringify({ rows: [row] }),
    'no rows': '{"row_count":2}',
    'rows that are none': '{"row_count":2,"rows":{}}',
    'fewer rows than there are': JSON.stringify({ row_count: 2, rows: [row] }),
    'a row that is none': '{"row_count":1,"rows":[null]}',
    'a channel without uuid': JSON.stringify({ row_count: 1, rows: [{ ...row, uuid: undefined }] }),
    'a channel of no direction': JSON.stringify({ row_count: 1, rows: [{ ...row, direction: '' }] }),
    'a channel of no age': JSON.stringify({ row_count: 1, rows: [{ ...row, created_epoch: '' }] }),
    'a channel of an age that is none': JSON.stringify({
      row_count: 1,
      rows: [{ ...row, created_epoch: 'now' }],
    }),
  }
  for (const [what, output] of Object.entries(wrong)) {
    t.ok((await outcome(listed(output))) instanceof ProtocolError, what)
  }
  t.match(await outcome(listed('-ERR SQL error [locked]\n')), { code: 'COMMAND_REFUSED' })
  t.ok(link.isUp, 'which is no reason to leave')
})
