import { Type, type FastifyPluginCallbackTypebox, type Static } from '@fastify/type-provider-typebox'
import { rateFields } from '../../billing/rate-fields.js'
import { prefixReader } from '../../numbering/prefix-reader.js'
import { findDeck } from '../../store/decks.js'
import { exportRates } from '../../store/rate-export.js'
import {
  duplicateRates,
  mergeRates,
  stageRates,
  type Duplicates,
  type ImportCounts,
} from '../../store/rate-import.js'
import { access } from '../access.js'
import { audited } from '../audited.js'
import { csvLine } from '../csv.js'
import type { AdminDependencies } from '../dependencies.js'
import { fromStore, Problem } from '../errors.js'
import { mostFaults } from '../csv-file.js'
import { RateFile } from '../rate-file.js'
import { checkedCountry, country } from '../rate-schemas.js'
import { everyNumber } from '../rate-texts.js'
import { noQuery, problems, security } from '../schemas.js'
import { sendFile } from '../sending.js'
import { Turns } from '../turns.js'
import { takeUploads, uploaded, uploadValidator } from '../upload.js'
import { deckParams, refuseUnknownDeck } from './decks.js'

const csv = 'text/csv'
/** Each has one of the few connections that the API has to PostgreSQL, and a table of a million rows. */
const mostAtOnce = 2

const exampleFile =
  'prefix,description,price_per_minute,minimum_seconds,increment_seconds\r\n090,"Vietnam, mobile",480,6,1\r\n'

const countsSchema = Type.Object(
  {
    rows: Type.Integer({ description: 'Rates of the file' }),
    inserted: Type.Integer({ description: 'New ones' }),
    changed: Type.Integer({ description: 'There under the same prefix and valid_from, with other terms' }),
    unchanged: Type.Integer({ description: 'There as they are in the file' }),
    removed: Type.Integer({ description: 'There and not in the file, in the mode replace' }),
    dry_run: Type.Boolean({ description: 'True: all of this would be so; nothing was written' }),
  } satisfies Record<keyof ImportCounts | 'dry_run', unknown>,
  {
    additionalProperties: false,
    description: 'What the import did, or would do',
    examples: [{ rows: 1000, inserted: 12, changed: 30, unchanged: 958, removed: 0, dry_run: false }],
  },
)

/** Undoes an import that was only to be tried. */
class DryRun extends Error {
  override readonly name = 'DryRun'
  readonly counts: ImportCounts

  constructor(counts: ImportCounts) {
    super('only tried')
    this.counts = counts
  }
}

export const rateFiles: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  const { pool } = dependencies
  const imports = new Turns(mostAtOnce, 'imports of rates')
  const exports = new Turns(mostAtOnce, 'exports of rates')
  takeUploads(app, csv)

  app.post(
    '/decks/:deck/rates/import',
    {
      config: access('admin', 'no'),
      validatorCompiler: uploadValidator,
      schema: {
        operationId: 'importRates',
        tags: ['decks'],
        summary: 'Takes a CSV file of rates into a deck: all of it, or nothing',
        description:
          'The first line names the columns, in any order: prefix and price_per_minute, and any others of a rate. ' +
          'They are separated by commas or semicolons. A prefix is as somebody types it, * for every number; in a ' +
          'file with the column prefix_entered, such as an export, it is in normal form. What is left empty is as ' +
          'in a new rate. If anything is wrong, nothing is written, and `errors` says in which lines: the first ' +
          `${mostFaults} faults. The file may be of 512 MiB, and take its time, as long as something comes.`,
        security,
        consumes: [csv],
        params: deckParams,
        querystring: Type.Object(
          {
            mode: Type.Optional(
              Type.Enum(['add', 'replace'], {
                default: 'add',
                description:
                  'add: rates of the deck that are not in the file stay. replace: they go. Default add',
              }),
            ),
            dry_run: Type.Optional(
              Type.Enum(['true', 'false'], {
                default: 'false',
                description: 'true: says what the import would do, and does nothing. Default false',
              }),
            ),
            country,
          },
          { additionalProperties: false },
        ),
        body: Type.String({ description: 'CSV in UTF-8', examples: [exampleFile] }),
        response: { 200: countsSchema, ...problems(404, 408, 413, 415) },
      },
    },
    async (request, reply) => {
      const { deck } = request.params
      const { mode = 'add', dry_run: dryRun } = request.query
      const normal = prefixReader(checkedCountry(request.query.country, dependencies.country))
      if (!(await fromStore(findDeck(pool, deck)))) return refuseUnknownDeck(deck)
      const leave = imports.take()
      try {
        const counts = await audited(request, pool, async (client, note) => {
          const file = new RateFile(uploaded(request, reply, dependencies.uploads), normal)
          await stageRates(client, file.portions())
          noteDuplicates(file, await duplicateRates(client, mostFaults))
          refuseFaults(file)
          const counts = await mergeRates(client, deck, mode)
          if (dryRun === 'true') throw new DryRun(counts)
          note({ tenant: null, target: `deck ${deck}`, after: { import: { mode, ...counts } } })
          return counts
        })
        return shown(counts, false)
      } catch (error) {
        if (error instanceof DryRun) return shown(error.counts, true)
        throw error
      } finally {
        leave()
      }
    },
  )

  app.get(
    '/decks/:deck/rates/export',
    {
      config: access('read', 'no'),
      schema: {
        operationId: 'exportRates',
        tags: ['decks'],
        summary: 'All rates of a deck as CSV, which the import takes back',
        security,
        produces: [csv],
        querystring: noQuery,
        params: deckParams,
        response: {
          200: {
            description: 'The file',
            content: { [csv]: { schema: Type.String({ examples: [exampleFile] }) } },
          },
          ...problems(404),
        },
      },
    },
    async ({ params: { deck } }, reply) => {
      if (!(await fromStore(findDeck(pool, deck)))) return refuseUnknownDeck(deck)
      const leave = exports.take()
      async function* lines(): AsyncGenerator<string, void> {
        try {
          yield csvLine(rateFields)
          for await (const rows of exportRates(pool, deck))
            yield rows.map(([prefix = '', ...rest]) => csvLine([prefix || everyNumber, ...rest])).join('')
        } finally {
          leave()
        }
      }
      return sendFile(reply, { type: `${csv}; charset=utf-8`, name: `${deck}.csv` }, lines())
    },
  )

  done()
}

function shown(counts: ImportCounts, isDryRun: boolean): Static<typeof countsSchema> {
  return { ...counts, dry_run: isDryRun }
}

function noteDuplicates(file: RateFile, { total, first }: Duplicates): void {
  for (const { line, firstLine, id } of first)
    file.fault({ line, field: 'prefix', detail: `the rate ${id} is on line ${firstLine} already` })
  file.count(total - first.length)
}

/** @throws Problem with what is wrong, by the lines */
function refuseFaults({ faultCount, faults, rows }: Pick<RateFile, 'faultCount' | 'faults' | 'rows'>): void {
  if (faultCount === 0) return
  const errors = [...faults].sort((one, other) => one.line - other.line)
  const lines = faultCount === 1 ? '1 fault' : `${faultCount} faults`
  const told = faultCount > errors.length ? `; the first ${errors.length} are told` : ''
  throw new Problem('invalid', `The file has ${lines} in ${rows} rows; nothing was written${told}.`, {
    errors,
  })
}
