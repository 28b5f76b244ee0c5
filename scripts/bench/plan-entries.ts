/**
 * A number plan of 100,000 outbound entries, mixed: 40,000 numbers, 30,000 ranges of many widths, wide ones around
 * narrow ones, 30,000 prefixes of five lengths. The call that is measured (scenario.ts) is for none of them but the
 * last, a prefix of two digits, so that everything else is looked at before; it leads where the call goes anyway.
 */
export const planSql = `
  INSERT INTO number_plan (tenant_id, direction, kind, number, number_to, entered, entered_to, step)
  SELECT 'demo', 'outbound', kind, number, number_to, number, number_to, '{"route": "dial"}'
  FROM (
    SELECT 'exact' AS kind, (84210000000 + i * 7)::text AS number, NULL AS number_to
      FROM generate_series(0, 39999) AS i
    UNION ALL
    SELECT 'range', (84230000000 + i * 10)::text, (84230000000 + i * 10 + 1 + i % 9)::text
      FROM generate_series(0, 29699) AS i
    UNION ALL
    SELECT 'range', (84230000000 + i * 1000)::text, (84230000000 + i * 1000 + 999)::text
      FROM generate_series(0, 298) AS i
    UNION ALL
    SELECT 'prefix', left((84250000000 + i::bigint * 30011)::text, 7 + i % 5), NULL
      FROM generate_series(0, 29999) AS i
    UNION ALL
    SELECT 'prefix', '84', NULL
  ) AS entries
  ON CONFLICT DO NOTHING`

/** Numbers that an exact entry, a range and a prefix are for, in turn; or none but the shortest prefix. */
export function plannedNumber(i: number): string {
  const n = Math.floor(i / 3) % 29_000
  if (i % 3 === 0) return String(84_210_000_000 + n * 7)
  return i % 3 === 1 ? String(84_230_000_000 + n * 10 + 1) : String(84_250_000_000 + n * 30_011)
}

export function unplannedNumber(i: number): string {
  return `1212${String(1_000_000 + (i % 900_000))}`
}
