import { Readable } from 'node:stream'
import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { allCdrs, type CdrView } from '../../store/cdrs.js'
import { access } from '../access.js'
import { csvLine } from '../csv.js'
import type { AdminDependencies } from '../dependencies.js'
import { fromStore } from '../errors.js'
import { problems, security } from '../schemas.js'
import { cdrFilters, filtersOf } from './cdr-query.js'
import { seenBy } from './cdr-schemas.js'

/** Everything of a CDR that is one value. */
export const csvColumns = [
  ...(['call_uuid', 'tenant', 'direction', 'caller', 'called', 'caller_raw', 'called_raw'] as const),
  ...(['caller_name', 'started_at', 'answered_at', 'bridged_at', 'ended_at', 'duration_ms'] as const),
  ...(['ring_ms', 'answered_ms', 'bridged_ms', 'billed_ms', 'hangup_cause', 'q850_cause'] as const),
  ...(['sip_status', 'hung_up_by', 'gateway', 'route', 'cost', 'carrier_cost', 'currency'] as const),
  ...(['source', 'is_vip', 'is_blacklisted', 'taken_over', 'refusal', 'a_leg_uuid'] as const),
  ...([
    'b_leg_uuid',
    'sip_call_id',
    'switch_name',
    'codec',
    'mos',
    'recording_path',
    'recording_url',
  ] as const),
]

const formats = {
  csv: {
    type: 'text/csv; charset=utf-8',
    head: csvLine(csvColumns),
    line: (cdr: CdrView) => csvLine(csvColumns.map((column) => cdr[column])),
  },
  ndjson: {
    type: 'application/x-ndjson; charset=utf-8',
    head: '',
    line: (cdr: CdrView) => `${JSON.stringify(cdr)}\n`,
  },
} as const

/** A client that takes nothing for so long is given up, in ms. */
const stalledMs = 120_000

const text = (options: { description: string; examples?: string[] }) =>
  Type.Unsafe<Readable>(Type.String(options))
const csvText = text({
  description: `A head and a line each: ${csvColumns.join(', ')}`,
  examples: [`${csvLine(csvColumns.slice(0, 4))}0d62c7c6-…,demo,outbound,1000\r\n`],
})
const ndjsonText = text({ description: 'A line each, as the list of CDRs has it' })

export const cdrExport: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  app.get(
    '/cdrs/export',
    {
      config: access('read', 'own'),
      schema: {
        operationId: 'exportCdrs',
        tags: ['cdrs'],
        summary: 'Call detail records as CSV or NDJSON, the latest first',
        description:
          'As many as there are, sent as they are read. An export that fails midway ends without its last chunk, ' +
          'which a client sees as a broken transfer. CSV: a text that a spreadsheet would take for a formula has a ' +
          "' before it.",
        security,
        querystring: Type.Object(
          {
            format: Type.Optional(
              Type.Enum(['csv', 'ndjson'], { default: 'csv', description: 'Default csv' }),
            ),
            ...cdrFilters,
          },
          { additionalProperties: false },
        ),
        response: {
          200: {
            description: 'The records',
            content: { 'text/csv': { schema: csvText }, 'application/x-ndjson': { schema: ndjsonText } },
          },
          ...problems(422),
        },
      },
    },
    async (request, reply) => {
      const { format = 'csv', ...asked } = request.query
      const { type, head, line } = formats[format]
      const seen = seenBy(request)
      const shown = (cdr: CdrView) => line(seen(cdr))
      const portions = allCdrs(dependencies.pool, filtersOf(asked, dependencies))
      // Before anything is said: an export that cannot begin is an error like any other.
      const first = await fromStore(portions.next())
      const body = Readable.from(texts(), { objectMode: false, highWaterMark: 0 })
      body.on('error', (error: unknown) => {
        request.log.warn({ err: error }, 'an export of CDRs was broken off')
      })
      reply.raw.setTimeout(stalledMs, () => reply.raw.destroy())
      void reply.header('content-disposition', `attachment; filename="cdrs.${format}"`)
      return reply.type(type).send(body)

      async function* texts() {
        const beginning = head + (first.value ?? []).map(shown).join('')
        if (beginning !== '') yield beginning
        for await (const cdrs of portions) yield cdrs.map(shown).join('')
      }
    },
  )
  done()
}
