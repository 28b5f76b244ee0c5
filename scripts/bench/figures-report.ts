import type { AuthoriseResult } from './authorise.js'
import type { Asked, CdrsResult } from './cdrs.js'
import type { BlacklistResult, Served } from './blacklist.js'
import type { Commits, CommitsResult } from './commits.js'
import type { Figures } from './figures.js'
import type { Appends, JournalResult } from './journal.js'
import type { Latency } from './open-loop.js'
import type { PlanResult } from './plan.js'
import { table } from './table.js'
import type { TariffResult } from './tariff.js'

/** What a release must reach. */
export const figureTargets = {
  appendsPerSecond: 20_000,
  billedCdrsPerSecond: 10_000,
  authoriseP99Ms: 3,
  tariff: { importSeconds: 15, megabytes: 150, lookUpNs: 2_000, inForceMs: 2_000 },
  // A hundredth of what the whole call costs, at most.
  cdrs: { pageP99Ms: 20, filterP99Ms: 1_000 },
  plan: { cpuOfEmpty: 1.05, lookUpNs: 10_000 },
  blacklistLookUpsPerSecond: 2_000,
} as const

/** A paragraph for each part that was measured. */
export function figuresReport(figures: Figures): string[] {
  const { journal, commits, authorise, tariff, plan, cdrs, blacklist } = figures
  return [
    ...(journal ? [journalTable(journal)] : []),
    ...(commits ? [commitsTable(commits)] : []),
    ...(authorise ? [authoriseTable(authorise)] : []),
    ...(tariff ? [tariffTable(tariff)] : []),
    ...(plan ? [planTable(plan)] : []),
    ...(cdrs ? cdrsTables(cdrs) : []),
    ...(blacklist ? [blacklistTable(blacklist)] : []),
  ]
}

function journalTable({ records, bytesPerRecord, journal, lmdb, file }: JournalResult): string {
  const target = figureTargets.appendsPerSecond
  const row = (name: string, appends: Appends, isOurs: boolean) => [
    name,
    count(appends.perSecond),
    range(appends.rounds),
    isOurs ? atLeast(appends.perSecond, target) : '',
    appends.cpuUs.toFixed(1),
    isOurs ? (appends.perSecond / lmdb.perSecond).toFixed(2) : '',
  ]
  return (
    `The journal: ${records} records of ${bytesPerRecord.toFixed(0)} bytes, each on the disk when its append resolves\n\n` +
    table(
      ['Durable appends', 'a second', 'least–most', 'target', 'CPU µs each', 'of LMDB'],
      [
        ...journal.map((each) => row(`${each.callers} callers at once`, each, true)),
        row('limit: LMDB alone, groups of 200', lmdb, false),
        row('limit: write and fdatasync, groups of 200', file, false),
      ],
    )
  )
}

function commitsTable({ records, cdrs, of }: CommitsResult): string {
  const target = figureTargets.billedCdrsPerSecond
  const rows = of.flatMap(({ tenants, feeder, statement, copy }) => {
    const row = (name: string, commits: Commits, isOurs: boolean) => [
      `${name}, ${tenants === 1 ? 'one tenant' : `${tenants} tenants`}`,
      count(commits.perSecond),
      range(commits.rounds),
      isOurs ? atLeast(commits.perSecond, target) : '',
      commits.nodeCpuUs.toFixed(0),
      commits.postgresCpuUs?.toFixed(0) ?? '',
      (commits.perSecond / copy.perSecond).toFixed(2),
    ]
    return [
      row('journal to PostgreSQL', feeder, true),
      row('the statement alone', statement, false),
      row('limit: the rows by COPY', copy, false),
    ]
  })
  const heads = ['Billed CDRs', 'a second', 'least–most', 'target', 'CPU µs: node', 'PostgreSQL', 'of COPY']
  return (
    `Commits: ${records} calls a round, ${cdrs} CDRs at the end, with all indexes\n\n${table(heads, rows)}\n\n` +
    'COPY: the rows that came of it, into the same tables; no look at what is new, no balances, nothing released'
  )
}

function authoriseTable({ perSecond, oneTenant, manyTenants, select, update }: AuthoriseResult): string {
  const row = (name: string, { p50, p95, p99, longest, lateP99 }: Latency, isOurs: boolean) => [
    name,
    ...[p50, p95, p99, longest].map((ms) => ms.toFixed(2)),
    isOurs ? atMost(p99, figureTargets.authoriseP99Ms, (ms) => String(ms)) : '',
    lateP99.toFixed(2),
  ]
  return (
    `Authorise: ${perSecond} a second at an even rate, ${oneTenant.asked} of each\n\n` +
    table(
      ['ms', 'p50', 'p95', 'p99', 'longest', 'target p99', 'asked late, p99'],
      [
        row('authorise, one tenant', oneTenant, true),
        row('authorise, 1000 tenants', manyTenants, true),
        row('floor: SELECT 1', select, false),
        row('floor: UPDATE of one row, committed', update, false),
      ],
    )
  )
}

function tariffTable(tariff: TariffResult): string {
  const { importSeconds, megabytes, lookUpNs, inForceMs } = figureTargets.tariff
  const size = tariff.heapMegabytes + tariff.bufferMegabytes
  const ns = (value: number) => `${value.toFixed(0)} ns`
  const ms = (value: number) => `${value.toFixed(0)} ms`
  const seconds = (value: number) => `${value.toFixed(1)} s`
  const mega = (value: number) => `${value.toFixed(0)} MB`
  const rows = [
    [
      'imported',
      seconds(tariff.importSeconds),
      atMost(tariff.importSeconds, importSeconds, seconds),
      `${seconds(tariff.bareCopySeconds)}: COPY without key, check, trigger or log`,
    ],
    [
      'imported in no order',
      seconds(tariff.shuffledImportSeconds),
      atMost(tariff.shuffledImportSeconds, importSeconds, seconds),
      '',
    ],
    ['read into memory', seconds(tariff.readSeconds), '', ''],
    [
      'in memory',
      mega(size),
      atMost(size, megabytes, mega),
      `${mega(tariff.rssMegabytes)}: growth of the process`,
    ],
    [
      'a look-up that finds',
      ns(tariff.ratedNs),
      atMost(tariff.ratedNs, lookUpNs, ns),
      `${ns(tariff.mapProbeNs)}: one probe of a Map`,
    ],
    ['a look-up that does not', ns(tariff.unratedNs), atMost(tariff.unratedNs, lookUpNs, ns), ''],
    [
      'a look-up after changes',
      ns(tariff.ratedAfterChangesNs),
      atMost(tariff.ratedAfterChangesNs, lookUpNs, ns),
      '',
    ],
    [
      'a changed price in force',
      ms(tariff.inForceMs),
      atMost(tariff.inForceWorstMs, inForceMs, ms),
      `${ms(tariff.inForceWorstMs)}: the longest`,
    ],
  ]
  return table([`The tariff: ${tariff.rates} rates`, 'measured', 'target', 'beside it'], rows)
}

function planTable(plan: PlanResult): string {
  const { cpuOfEmpty, lookUpNs } = figureTargets.plan
  const { cpuRatio, ratios, foundNs, missedNs, mapProbeNs } = plan
  const times = (value: number) => value.toFixed(3)
  const ns = (value: number) => `${value.toFixed(0)} ns`
  const rows = [
    [
      'CPU of a call, of that with an empty plan',
      times(cpuRatio),
      atMost(cpuRatio, cpuOfEmpty, (value) => value.toFixed(2)),
      `${times(Math.min(...ratios))}–${times(Math.max(...ratios))}: ${ratios.length} rounds`,
    ],
    [
      'CPU of a look-up that finds',
      ns(foundNs),
      atMost(foundNs, lookUpNs, ns),
      `${ns(mapProbeNs)}: one probe of a Map`,
    ],
    ['CPU of a look-up that does not', ns(missedNs), atMost(missedNs, lookUpNs, ns), ''],
    ['read into memory', `${plan.readSeconds.toFixed(1)} s`, '', ''],
    ['in memory', `${plan.heapMegabytes.toFixed(0)} MB`, '', ''],
  ]
  return table([`The number plan: ${plan.entries} entries`, 'measured', 'target', 'beside it'], rows)
}

function cdrsTables({ rows, fillSeconds, gigabytes, ...measured }: CdrsResult): string[] {
  const { pageP99Ms, filterP99Ms } = figureTargets.cdrs
  const ms = (value: number) => value.toFixed(value < 100 ? 1 : 0)
  const askedTable = (title: string, all: readonly Asked[], target: number) =>
    table(
      [title, 'p50', 'p99', 'longest', 'target p99'],
      all.map(({ what, p50, p99, longest }) => [
        what,
        ...[p50, p99, longest].map(ms),
        atMost(p99, target, (value) => String(value)),
      ]),
    )
  const { pages, filters, commitsFull, commitsEmpty } = measured
  const among = commitsFull.of.map(({ tenants, feeder }) => [
    tenants === 1 ? 'one tenant' : `${tenants} tenants`,
    count(feeder.perSecond),
    range(feeder.rounds),
    atLeast(feeder.perSecond, figureTargets.billedCdrsPerSecond),
    feeder.nodeCpuUs.toFixed(0),
    feeder.postgresCpuUs?.toFixed(0) ?? '',
  ])
  return [
    `${rows} CDRs, ${gigabytes.toFixed(1)} GB, filled in ${fillSeconds.toFixed(0)} s\n\n` +
      askedTable('A page of 100, ms', pages, pageP99Ms),
    askedTable('A month of the tenant that has half of them, ms', filters, filterP99Ms),
    `Journal to PostgreSQL, among ${commitsFull.cdrs} charged calls\n\n` +
      table(['Billed CDRs', 'a second', 'least–most', 'target', 'CPU µs: node', 'PostgreSQL'], among),
    commitsTable(commitsEmpty),
  ]
}

function blacklistTable({ connections, entries, linger, fastify, http }: BlacklistResult): string {
  const target = figureTargets.blacklistLookUpsPerSecond
  const row = (
    name: string,
    { perSecond, rounds, p99Ms, serverCpuUs, clientCpuUs }: Served,
    isOurs: boolean,
  ) => [
    name,
    count(perSecond),
    range(rounds),
    isOurs ? atLeast(perSecond, target) : '',
    p99Ms.toFixed(1),
    serverCpuUs.toFixed(0),
    clientCpuUs.toFixed(0),
    (perSecond / http.perSecond).toFixed(2),
  ]
  const heads = [
    'GET',
    'a second',
    'least–most',
    'target',
    'p99 ms',
    'CPU µs: server',
    'client',
    'of node:http',
  ]
  return (
    `The blacklist: ${entries} numbers, looked up over ${connections} connections\n\n` +
    table(heads, [
      row('/v1/blacklist/{number}', linger, true),
      row('limit: the same bytes by a bare Fastify', fastify, false),
      row('limit: the same bytes by a bare node:http', http, false),
    ])
  )
}

function count(value: number): string {
  return value.toFixed(0)
}

function range(values: readonly number[]): string {
  return `${count(Math.min(...values))}–${count(Math.max(...values))}`
}

function atLeast(value: number, target: number): string {
  return `${target} ${value >= target ? 'met' : 'MISSED'}`
}

function atMost(value: number, target: number, show: (value: number) => string): string {
  return `${show(target)} ${value <= target ? 'met' : 'MISSED'}`
}
