import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type pg from 'pg'
import { parseMoney, type Money } from '../../billing/money.js'
import { hasNul } from '../../store/database.js'
import {
  againIfBooked,
  bookWithin,
  LedgerError,
  type Booked,
  type Booking,
  type LedgerLine,
} from '../../store/ledger.js'
import { access } from '../access.js'
import { audited } from '../audited.js'
import { keyIdOf } from '../auth.js'
import type { AdminDependencies } from '../dependencies.js'
import { Problem, refuseInvalid, refuseUnknownTenant, sentence } from '../errors.js'
import { echo, type FieldError } from '../field-errors.js'
import { noQuery, problems, security, tenantParams } from '../schemas.js'
import { shownTransaction, transaction, type ShownTransaction } from './transactions.js'

const digits = 'at most 18 digits before the point and 6 behind it, such as "500" or "21.17"'
/** What an amount may be, by what is booked. */
const allowedAmounts = {
  topup: `a decimal number above 0, ${digits}`,
  refund: `a decimal number above 0, ${digits}`,
  adjustment: `a decimal number other than 0, ${digits}; below 0 it takes money away`,
} as const
const allowedKey = '1 to 200 printable ASCII characters'
const isPrintable = /^[\x20-\x7e]*$/

const descriptionText = Type.String({
  minLength: 1,
  maxLength: 200,
  description: 'What it is for; it stands on the line',
})
const amountText = (kind: keyof typeof allowedAmounts) =>
  Type.String({ description: `A text with ${allowedAmounts[kind]}`, examples: ['500000'] })
const headers = Type.Object({
  'idempotency-key': Type.String({
    minLength: 1,
    maxLength: 200,
    description:
      `Names this booking, ${allowedKey}. Whoever did not get the answer asks again with the same one: ` +
      'a key books once. Each tenant has its own keys',
    examples: ['bank-2025-01-31-0042'],
  }),
})

interface BookingBody {
  amount: string
  description?: string
  call_uuid?: string
}

/** One kind of booking, as an operation. */
interface BookingOperation {
  kind: Booking['kind']
  path: string
  operationId: string
  summary: string
  body: ReturnType<typeof Type.Unsafe<BookingBody>>
}

const operations: readonly BookingOperation[] = [
  {
    kind: 'topup',
    path: 'topups',
    operationId: 'topUpTenant',
    summary: 'Books money that a tenant paid in',
    body: Type.Unsafe<BookingBody>(
      Type.Object(
        { amount: amountText('topup'), description: Type.Optional(descriptionText) },
        {
          additionalProperties: false,
          examples: [{ amount: '500000', description: 'Bank transfer of 31 January' }],
        },
      ),
    ),
  },
  {
    kind: 'refund',
    path: 'refunds',
    operationId: 'refundTenant',
    summary: 'Gives a tenant money back, of a call if it names one',
    body: Type.Unsafe<BookingBody>(
      Type.Object(
        {
          amount: amountText('refund'),
          call_uuid: Type.Optional(
            Type.String({
              minLength: 1,
              maxLength: 256,
              description:
                'The call that it is for; not looked up, because its record may still be on its way',
            }),
          ),
          description: Type.Optional(descriptionText),
        },
        {
          additionalProperties: false,
          examples: [
            {
              amount: '21.17',
              call_uuid: '0b7e7f4e-2f0a-4c5b-9f3e-8a3f0f9d2a10',
              description: 'One-way audio',
            },
          ],
        },
      ),
    ),
  },
  {
    kind: 'adjustment',
    path: 'adjustments',
    operationId: 'adjustTenant',
    summary: "Corrects a tenant's balance, up or down; it may go below 0",
    body: Type.Unsafe<BookingBody>(
      Type.Object(
        { amount: amountText('adjustment'), description: descriptionText },
        { additionalProperties: false, examples: [{ amount: '-1500.50', description: 'Line rental' }] },
      ),
    ),
  },
]

export const bookings: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  const { pool, onLowBalance } = dependencies

  for (const { kind, path, operationId, summary, body } of operations) {
    app.post(
      `/tenants/:tenant/${path}`,
      {
        config: access('admin', 'no'),
        schema: {
          operationId,
          tags: ['tenants'],
          summary,
          security,
          params: tenantParams,
          headers,
          querystring: noQuery,
          body,
          response: {
            200: { ...transaction, description: 'It was booked before under this key: that line' },
            201: { ...transaction, description: 'It is booked: the new line' },
            ...problems(404, 409, 413, 415),
          },
        },
      },
      async (request, reply) => {
        const { tenant: id } = request.params
        const booking = bookingOf(kind, id, request.headers['idempotency-key'], request.body)
        const { line, isNew, low } = await bookFor(request, pool, booking)
        if (isNew) logBooking(request, booking, line.id)
        if (low) onLowBalance?.(low)
        return reply.code(isNew ? 201 : 200).send(shownBooking(booking, line))
      },
    )
  }

  done()
}

/** @throws Problem that names every field that is wrong */
function bookingOf(
  kind: Booking['kind'],
  tenant: string,
  idempotencyKey: string,
  body: BookingBody,
): Booking {
  if (hasNul(tenant)) refuseUnknownTenant(tenant)
  const errors: FieldError[] = []
  const refuse = (field: string, value: string, allowed: string) =>
    errors.push({ field, detail: `is ${echo(value)}; allowed is ${allowed}` })
  if (!isPrintable.test(idempotencyKey)) refuse('idempotency-key', idempotencyKey, allowedKey)
  const amount = amountOf(kind, body.amount)
  if (amount === undefined) refuse('amount', body.amount, allowedAmounts[kind])
  for (const field of ['call_uuid', 'description'] as const) {
    const text = body[field]
    if (text !== undefined && hasNul(text)) refuse(field, text, 'a text without the character NUL')
  }
  if (amount === undefined || errors.length > 0) return refuseInvalid(errors)
  const { description = '', call_uuid: callUuid } = body
  return { tenant, kind, amount, description, idempotencyKey, ...(callUuid !== undefined && { callUuid }) }
}

/** @returns undefined when `text` is no amount that can be booked as this kind */
function amountOf(kind: Booking['kind'], text: string): Money | undefined {
  let amount: Money
  try {
    amount = parseMoney(text)
  } catch {
    return undefined
  }
  if (amount === 0n || (amount < 0n && kind !== 'adjustment')) return undefined
  return amount
}

/**
 * The booking and its audit line, both or neither; a key that was used before books nothing and writes nothing.
 *
 * @throws Problem
 */
async function bookFor(request: FastifyRequest, pool: pg.Pool, booking: Booking): Promise<Booked> {
  const { tenant } = booking
  try {
    return await againIfBooked(() =>
      audited(request, pool, async (client, note) => {
        const booked = await bookWithin(client, booking)
        const { line, isNew } = booked
        if (isNew) note({ tenant, target: `transaction ${line.id}`, after: shownBooking(booking, line) })
        return booked
      }),
    )
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error
    if (error.code === 'unknown_tenant') return refuseUnknownTenant(tenant)
    if (error.code === 'key_reused')
      throw new Problem('key_reused', sentence(error.message), { cause: error })
    // What a request alone can show was looked at before; what is left is a balance that would be too long.
    return refuseInvalid([{ field: 'amount', detail: error.message }])
  }
}

function shownBooking({ kind, idempotencyKey }: Booking, line: LedgerLine): ShownTransaction {
  return shownTransaction({ ...line, kind, idempotencyKey })
}

function logBooking(request: FastifyRequest, booking: Booking, line: string): void {
  const { tenant, kind } = booking
  request.log.info({ tenant, kind, line, by: keyIdOf(request) }, 'money booked')
}
