import { formatMoney, parseMoney } from '../../src/billing/money.js'
import type { CdrView, ChargeView } from '../../src/store/cdrs.js'
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

/** `500.00 a minute (090 Mobile Viettel) × 2,540 ms / 60,000 = 21.166666…, rounded 21.17` */
function arithmetic(charge: ChargeView): string {
  const product = parseMoney(charge.price_per_minute) * BigInt(charge.billed_ms)
  const exact = `${formatMoney(product / 60_000n)}${product % 60_000n === 0n ? '' : '…'}`
  const result = exact === charge.cost ? exact : `${exact}, rounded ${charge.cost}`
  const rate = `${charge.price_per_minute} a minute (${charge.prefix_entered} ${charge.description})`
  return `${rate} × ${ms(charge.billed_ms)} / 60,000 = ${result}`
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
