import { Type, type FastifyPluginCallbackTypebox, type Static } from '@fastify/type-provider-typebox'
import type { Listed } from '../screening/number-list.js'
import { RedisAway } from '../screening/redis.js'
import { access } from './access.js'
import { announced } from './audited.js'
import { keyIdOf } from './auth.js'
import { csvLine } from './csv.js'
import type { AdminDependencies } from './dependencies.js'
import { Problem } from './errors.js'
import { mostFaults } from './csv-file.js'
import { ListFile, listColumns, mostBytes, mostRows, never } from './list-file.js'
import { defaultTtlSeconds, operationOf, type ListResource } from './list-schemas.js'
import { noQuery, problems } from './schemas.js'
import { sendFile } from './sending.js'
import { Turns } from './turns.js'
import { takeUploads, uploaded, uploadValidator } from './upload.js'

const csv = 'text/csv'
/** What a file of the most rows takes in memory is some 100 MB. */
const mostAtOnce = 2
/** Numbers that a line of the audit names. */
const mostNamed = 20
/** Entries that are asked of Redis at a time. */
const pageSize = 500

const countsSchema = Type.Object(
  {
    rows: Type.Integer({ description: 'Rows of the file, without its first one' }),
    entries: Type.Integer({ description: 'Different numbers among them' }),
    added: Type.Integer({ description: 'Of these, new ones' }),
    renewed: Type.Integer({ description: 'Of these, ones that were there' }),
    dry_run: Type.Boolean({ description: 'True: all of this would be so; nothing was written' }),
  },
  {
    additionalProperties: false,
    description: 'What the import did, or would do',
    examples: [{ rows: 1000, entries: 998, added: 900, renewed: 98, dry_run: false }],
  },
)

/** Import and export of a list. */
export function listFileRoutes(dependencies: AdminDependencies, resource: ListResource) {
  const { pool } = dependencies
  const { list, path, tag, expires } = resource
  const imports = new Turns(mostAtOnce, 'imports of numbers')
  const example = expires
    ? 'number,ttl_seconds,reason\r\n0901234567,3600,spam\r\n8490*,,\r\n'
    : 'number,reason\r\n0901234567,the director\r\n'

  const plugin: FastifyPluginCallbackTypebox = (app, _options, done) => {
    takeUploads(app, csv)

    app.post(
      `${path}/import`,
      {
        config: access('operate', 'no'),
        validatorCompiler: uploadValidator,
        schema: {
          ...operationOf(resource, 'import', 'Adds the numbers of a CSV file: all, or none if one is wrong'),
          description:
            'The first line names the columns, in any order: number and, if they are there, ttl_seconds ' +
            `(${expires ? `nothing: ${defaultTtlSeconds}; ${never}: it stays` : `nothing, or ${never}`}) and reason. The ` +
            'other columns of an export are allowed; who imports is who added. They are separated by commas or ' +
            'semicolons. Of rows with the same number, however it is spelled, the last one counts. If anything is ' +
            `wrong, \`errors\` says in which lines: the first ${mostFaults} faults. The file may have ${mostRows} ` +
            `rows and ${mostBytes / 2 ** 20} MiB, and take its time, as long as something comes. If Redis goes ` +
            'away in the middle, what was added stays; the same file again adds the rest.',
          consumes: [csv],
          querystring: Type.Object(
            {
              dry_run: Type.Optional(
                Type.Enum(['true', 'false'], {
                  default: 'false',
                  description: 'true: says what the import would do, and does nothing. Default false',
                }),
              ),
            },
            { additionalProperties: false },
          ),
          body: Type.String({ description: 'CSV in UTF-8', examples: [example] }),
          response: { 200: countsSchema, ...problems(408, 413, 415) },
        },
      },
      async (request, reply): Promise<Static<typeof countsSchema>> => {
        const leave = imports.take()
        try {
          const file = new ListFile(resource)
          await file.read(uploaded(request, reply, { mostBytes }))
          refuseFaults(file)
          const { rows, entries } = file
          const counts = (added: number, isDryRun: boolean) => ({
            ...{ rows, entries: entries.length, added, renewed: entries.length - added },
            dry_run: isDryRun,
          })
          if (request.query.dry_run === 'true')
            return counts(await list.countNew(entries.map(({ entry }) => entry)), true)
          const addedBy = keyIdOf(request)
          const numbers = entries.slice(0, mostNamed).map(({ entry }) => entry.entered)
          const after = { import: { rows, entries: entries.length, first_numbers: numbers } }
          const added = await announced(request, pool, { tenant: null, target: tag, after }, async () => {
            let done = 0
            return list
              .addEach(entries, addedBy, () => done++)
              .catch((error: unknown) => {
                if (!(error instanceof RedisAway)) throw error
                const detail = `${error.message}: of ${entries.length} entries about ${done} were added. Try again later.`
                throw new Problem('redis_away', detail, { cause: error })
              })
          })
          request.log.info({ list: tag, by: addedBy, entries: entries.length, added }, 'list changed')
          return counts(added, false)
        } finally {
          leave()
        }
      },
    )

    app.get(
      `${path}/export`,
      {
        config: access('read', 'any'),
        schema: {
          ...operationOf(resource, 'export', 'The list as CSV, which the import takes back'),
          produces: [csv],
          querystring: noQuery,
          response: {
            200: {
              description: 'The file',
              content: {
                [csv]: { schema: Type.String({ examples: [csvLine(listColumns)] }) },
              },
            },
            ...problems(),
          },
        },
      },
      async (_request, reply): Promise<never> =>
        await sendFile(reply, { type: `${csv}; charset=utf-8`, name: `${tag}.csv` }, lines(resource)),
    )

    done()
  }
  return plugin
}

/** As fast as they are taken. What comes or goes meanwhile may be there or not. */
async function* lines({ list }: ListResource): AsyncGenerator<string, void> {
  let cursor: string | undefined
  let isFirst = true
  do {
    const found = await list.page({ cursor, limit: pageSize })
    if (found === undefined) throw new Error('a list did not take its own cursor')
    const text = found.items.map(lineOf).join('')
    if (isFirst || text !== '') yield isFirst ? csvLine(listColumns) + text : text
    isFirst = false
    cursor = found.next ?? undefined
  } while (cursor !== undefined)
}

function lineOf(listed: Listed): string {
  // It has gone just now.
  if (listed.ttlSeconds === 0) return ''
  const { number, normalForm, kind, reason, addedBy, addedAt, ttlSeconds, expiresAt } = listed
  return csvLine([
    ...[number, normalForm, kind, reason ?? '', addedBy ?? '', addedAt ?? ''],
    ...[String(ttlSeconds ?? never), expiresAt ?? never],
  ])
}

/** @throws Problem with what is wrong, by the lines */
function refuseFaults({ faultCount, faults, rows }: ListFile): void {
  if (faultCount === 0) return
  const count = faultCount === 1 ? '1 fault' : `${faultCount} faults`
  const told = faultCount > faults.length ? `; the first ${faults.length} are told` : ''
  throw new Problem('invalid', `The file has ${count} in ${rows} rows; nothing was added${told}.`, {
    errors: faults,
  })
}
