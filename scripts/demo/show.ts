import { formatMoney, parseMoney } from '../../src/billing/money.js'
import type { CdrView, ChargeView, TermsView } from '../../src/store/cdrs.js'
import type { LedgerLine } from './ledger.js'

/** The record of a call, and how its cost came about. */
export function showCdr(cdr: CdrView): string {
  const lines = [
    `${cdr.direction} call of ${cdr.caller} to ${cdr.called}, ${cdr.hangup_cause}, ` +
      `talked ${ms(cdr.bridged_ms)}, costs ${cdr.cost} ${cdr.currency ?? ''}`.trimEnd(),
    ...cdr.charges.map(arithmetic),
  ]
  if (cdr.refusal !== null) lines.push(`refused: ${cdr.refusal}`)
  return lines.map((line, index) => `${index === 0 ? '        CDR  ' : '             '}${line}`).join('\n')
}

/**
 * `500.00 a minute (090 Mobile Viettel) × 2,540 ms / 60,000 = 21.166666…, rounded 21.17`; where the rate says more
 * than a price, what of the time is charged, and the connection fee.
 */
function arithmetic({ terms, ...charge }: ChargeView): string {
  const fee = parseMoney(terms.connection_fee ?? '0')
  const total = fee * 60_000n + parseMoney(charge.price_per_minute) * BigInt(charge.charged_ms)
  const exact = `${formatMoney(total / 60_000n)}${total % 60_000n === 0n ? '' : '…'}`
  const rate = `${charge.price_per_minute} a minute (${charge.prefix_entered} ${charge.description})`
  const time =
    charge.charged_ms === charge.billed_ms
      ? ms(charge.billed_ms)
      : `${ms(charge.charged_ms)} (${ms(charge.billed_ms)}, in ${increments(terms)})`
  const sum = `${fee === 0n ? '' : `connection fee ${formatMoney(fee)} + `}${rate} × ${time} / 60,000 = ${exact}`
  return exact === charge.cost ? sum : `${sum}, ${reasonOf(charge.cost, terms)} ${charge.cost}`
}

/** `30/6`: at least 30 s, then 6 s at a time. */
function increments({ minimum_seconds: minimum = 0, increment_seconds: increment = 0 }: TermsView): string {
  return `${minimum}/${increment} s`
}

function reasonOf(cost: string, terms: TermsView): string {
  if (cost === '0.00' && terms.grace_seconds !== undefined) return 'free within its grace:'
  if (cost === terms.minimum_cost) return 'but at least'
  if (cost === terms.maximum_cost) return 'but at most'
  return 'rounded'
}

export function showCdrs(cdrs: readonly CdrView[]): string {
  return table(
    ['started', 'caller', 'called', 'direction', 'cause', 'talked ms', 'billed ms', 'cost'],
    cdrs.map((cdr) => [
      cdr.started_at,
      cdr.caller,
      cdr.called,
      cdr.direction,
      cdr.hangup_cause,
      String(cdr.bridged_ms),
      String(cdr.billed_ms),
      cdr.cost,
    ]),
    5,
  )
}

export function showLedger(lines: readonly LedgerLine[]): string {
  return table(
    ['line', 'kind', 'description', 'call', 'amount', 'balance after'],
    lines.map(({ id, kind, description, callUuid, amount, balanceAfter }) => [
      id,
      kind,
      description,
      callUuid,
      amount,
      balanceAfter,
    ]),
    4,
  )
}

function ms(value: number): string {
  return `${value.toLocaleString('en-US')} ms`
}

/** @param numbersFrom columns from here on stand to the right */
function table(heads: readonly string[], rows: readonly (readonly string[])[], numbersFrom: number): string {
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) =>
        column < numbersFrom ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
  return [heads, ...rows].map((cells) => `  ${line(cells)}`.trimEnd()).join('\n')
}
