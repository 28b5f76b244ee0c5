import { Readable } from 'node:stream'
import { Type, type FastifyPluginCallbackTypebox, type Static } from '@fastify/type-provider-typebox'
import { parseMoney, type Money } from '../../billing/money.js'
import {
  listTransactions,
  streamTransactions,
  transactionKinds,
  type Transaction,
  type TransactionFilter,
  type TransactionKind,
} from '../../store/transactions.js'
import { access } from '../access.js'
import { csvLine } from '../csv.js'
import type { AdminDependencies } from '../dependencies.js'
import { fromStore, refuseInvalid, refuseUnknownTenant } from '../errors.js'
import { echo, type FieldError } from '../field-errors.js'
import {
  cursor,
  defaultLimit,
  limit,
  moment,
  momentText,
  money,
  nullable,
  page,
  problems,
  readMoments,
  security,
  tenantParams,
} from '../schemas.js'

const mostItems = 500

export const transaction = Type.Object(
  {
    id: Type.String({ description: 'Number of the line; a later line of the tenant has a higher one' }),
    kind: Type.Enum([...transactionKinds], { description: 'A debit is the cost of a call' }),
    amount: money('What the balance changed by: below 0 when money left'),
    balance_after: money('The balance after it'),
    description: Type.String(),
    call_uuid: nullable(Type.String(), { description: 'The call that was charged or refunded' }),
    idempotency_key: nullable(Type.String(), {
      description: 'What it was booked under; null: it came without one',
    }),
    created_at: moment('When it was booked'),
  },
  {
    additionalProperties: false,
    description: 'A line of the ledger',
    examples: [
      {
        id: '4711',
        kind: 'topup',
        amount: '500000.00',
        balance_after: '1499500.00',
        description: 'Bank transfer of 31 January',
        call_uuid: null,
        idempotency_key: 'bank-2025-01-31-0042',
        created_at: '2025-01-31T08:00:00.000Z',
      },
    ],
  },
)

/** Of an export. */
const columns = Object.keys(transaction.properties)

/** Amounts have no index: whoever asks for them says which lines are to be looked through. */
const narrowing = 'from, call_uuid, idempotency_key, description, or a kind other than debit'
const isNarrow = ({ from, call_uuid: call, idempotency_key: key, description, kind }: FilterQuery) =>
  [from, call, key, description].some((field) => field !== undefined) || (kind ?? 'debit') !== 'debit'

const shortText = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 256, description }))
const amountText = (description: string) =>
  Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 40,
      description: `${description}, such as 500 or -21.17. Needs ${narrowing} beside it`,
    }),
  )

const filterFields = {
  kind: Type.Optional(Type.Enum([...transactionKinds], { description: 'Only lines of this kind' })),
  call_uuid: shortText('Only the debit, the refunds and the corrections of this call'),
  idempotency_key: shortText('Only the line that was booked under this key'),
  description: shortText(
    'Only lines with this text in their description, in capitals or not; debits have none of their own and are left out',
  ),
  from: momentText('Only what was booked then or later'),
  to: momentText('Only what was booked before'),
  min_amount: amountText('Only amounts from this one up'),
  max_amount: amountText('Only amounts up to this one, below 0 when money left'),
}

interface FilterQuery {
  kind?: TransactionKind
  call_uuid?: string
  idempotency_key?: string
  description?: string
  from?: string
  to?: string
  min_amount?: string
  max_amount?: string
}

export const transactions: FastifyPluginCallbackTypebox<AdminDependencies> = (app, { pool }, done) => {
  app.get(
    '/tenants/:tenant/transactions',
    {
      config: access('read', 'own'),
      schema: {
        operationId: 'listTransactions',
        tags: ['tenants'],
        summary: "Lines of a tenant's ledger, the latest first",
        security,
        params: tenantParams,
        querystring: Type.Object(
          { limit: limit(mostItems), cursor, ...filterFields },
          { additionalProperties: false },
        ),
        response: { 200: page(transaction), ...problems(404) },
      },
    },
    async ({ params: { tenant }, query }) => {
      const { limit: most = defaultLimit, cursor: after } = query
      const filter = { ...filterOf(query), limit: most, ...(after !== undefined && { cursor: after }) }
      const found = await fromStore(listTransactions(pool, tenant, filter))
      if (!found) return refuseUnknownTenant(tenant)
      return { items: found.items.map(shownTransaction), next: found.next }
    },
  )

  app.get(
    '/tenants/:tenant/transactions/export',
    {
      config: access('read', 'own'),
      schema: {
        operationId: 'exportTransactions',
        tags: ['tenants'],
        summary: "Lines of a tenant's ledger as CSV, the latest first, however many",
        security,
        params: tenantParams,
        querystring: Type.Object(filterFields, { additionalProperties: false }),
        response: {
          200: {
            description: `CSV with a head (RFC 4180): ${columns.join(', ')}. Texts that a spreadsheet would take for a formula begin with an apostrophe`,
            content: {
              'text/csv': {
                schema: Type.Unsafe<Readable>({
                  type: 'string',
                  examples: [
                    `${columns.join(',')}\r\n4711,topup,500000.00,1499500.00,Bank transfer of 31 January,,bank-2025-01-31-0042,2025-01-31T08:00:00.000Z\r\n`,
                  ],
                }),
              },
            },
          },
          ...problems(404),
        },
      },
    },
    async ({ params: { tenant }, query }, reply) => {
      const found = await fromStore(streamTransactions(pool, tenant, filterOf(query)))
      if (!found) return refuseUnknownTenant(tenant)
      return reply
        .type('text/csv; charset=utf-8')
        .header('content-disposition', 'attachment; filename="transactions.csv"')
        .send(Readable.from(csvOf(found)))
    },
  )

  done()
}

async function* csvOf(pages: AsyncIterable<readonly Transaction[]>): AsyncGenerator<string> {
  yield csvLine(columns)
  for await (const lines of pages)
    yield lines
      .map((line) => csvLine(Object.values(shownTransaction(line)).map((value) => value ?? '')))
      .join('')
}

/** @throws Problem that names every field that is wrong */
function filterOf(query: FilterQuery): TransactionFilter {
  const errors: FieldError[] = []
  const amountOf = (field: 'min_amount' | 'max_amount'): Money | undefined => {
    const text = query[field]
    if (text === undefined) return undefined
    if (!isNarrow(query)) errors.push({ field, detail: `needs ${narrowing} beside it` })
    try {
      return parseMoney(text)
    } catch {
      errors.push({ field, detail: `is ${echo(text)}; allowed is a decimal number, such as 500 or -21.17` })
      return undefined
    }
  }
  const minAmount = amountOf('min_amount')
  const maxAmount = amountOf('max_amount')
  const { from, to } = readMoments({ from: query.from, to: query.to })
  const { kind, call_uuid: callUuid, idempotency_key: idempotencyKey, description } = query
  if (errors.length > 0) refuseInvalid(errors)
  return {
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
    ...(kind !== undefined && { kind }),
    ...(callUuid !== undefined && { callUuid }),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
    ...(description !== undefined && { description }),
    ...(minAmount !== undefined && { minAmount }),
    ...(maxAmount !== undefined && { maxAmount }),
  }
}

export type ShownTransaction = Static<typeof transaction>

/** A line as the API shows it, its fields in this order. */
export function shownTransaction(line: Transaction): ShownTransaction {
  return {
    id: line.id,
    kind: line.kind,
    amount: line.amount,
    balance_after: line.balanceAfter,
    description: line.description,
    call_uuid: line.callUuid,
    idempotency_key: line.idempotencyKey,
    created_at: line.createdAt.toISOString(),
  }
}
