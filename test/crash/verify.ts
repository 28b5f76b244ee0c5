import { auditBooks, auditMode } from '../../src/store/audit.js'
import { inTransaction } from '../../src/store/database.js'
import type { Checks } from './checks.js'
import { judge, type Verdict } from './judge.js'
import type { Killer } from './killer.js'
import { describeFault, emptyCells, matrix } from './report.js'
import type { Settled } from './settle.js'
import { committedCalls, leftOver, type CommittedCall } from './truth.js'
import type { World } from './world.js'

interface Facts {
  readonly world: World
  readonly killer: Killer
  readonly settled: Settled
  readonly checks: Checks
  /** Enough died to fill the whole matrix. */
  readonly isWhole: boolean
}

/** Faults that are told in full. */
const shownFaults = 40

/** Faults of events that are told. */
const shownEvents = 10

/** That this is about. */
const leastKills = 200

/** The kill that a fault is put down to: the last that found the call in anybody's hands; 0 if none did. */
function killOf({ call }: Verdict): number {
  const hit = call.hits.findLast(({ state }) => state !== 'without a record') ?? call.hits.at(-1)
  return hit?.kill ?? 0
}

/** Holds what is in PostgreSQL and in the journals against what the switch did, and tells. */
export async function verify({ world, killer, settled, checks, isWhole }: Facts): Promise<void> {
  const { pool, outages } = world
  const committed = await committedCalls(pool)
  const verdicts = world.calls.map((call) => judge(call, committed.get(call.uuid), outages))
  const faulty = verdicts.filter(({ faults }) => faults.length > 0)

  for (const { number, component, aim } of killer.kills)
    checks.expect(
      !faulty.some((verdict) => killOf(verdict) === number),
      `kill ${number} (${component}, ${aim ?? 'meanwhile'}): a call that it hit is not as it should be`,
    )
  checks.expect(
    !faulty.some((verdict) => killOf(verdict) === 0),
    'a call that nothing hit is not as it should be',
  )

  for (const name of new Set(world.calls.flatMap(({ story }) => story ?? [])))
    checks.expect(!faulty.some(({ call }) => call.story === name), `${name}: a call is not as it should be`)

  const own = new Set(world.calls.map(({ uuid }) => uuid))
  const invented = [...committed.keys()].filter((uuid) => !own.has(uuid))
  checks.expect(invented.length === 0, `${invented.length} CDRs of calls that the switch never had`)
  const { findings } = await inTransaction(pool, auditBooks, auditMode)
  checks.expect(
    findings.length === 0,
    `the books do not add up: ${findings.map(({ what }) => what).join('; ')}`,
  )
  const left = await leftOver(pool)
  checks.expect(
    left.ledger === left.balances,
    `the ledger comes to ${left.ledger}, the balances to ${left.balances}`,
  )
  checks.expect(left.reservations === 0, `${left.reservations} reservations are left`)
  checks.expect(Number(left.reserved) === 0, `${left.reserved} is still reserved`)
  checks.expect(left.overdrawn === 0, `a prepaid balance was below 0, ${left.overdrawn} times`)
  checks.expect(settled.endless === 0, `${settled.endless} calls never end`)
  checks.expect(settled.unclean.length === 0, settled.unclean.join('; '))
  checks.expect(settled.undelivered.length === 0, settled.undelivered.join('; '))
  const astray = settled.published?.faults(committed) ?? []
  checks.expect(
    astray.length === 0,
    `${astray.length} faults of events: ${astray.slice(0, shownEvents).join('; ')}`,
  )
  if (isWhole) {
    checks.expect(killer.kills.length >= leastKills, `only ${killer.kills.length} kills`)
    const gaps = emptyCells(killer.kills)
    checks.expect(gaps.length === 0, `no call was there: ${gaps.join(', ')}`)
  }
  const twice = world.calls.filter(
    ({ hits }) => hits.filter(({ component }) => component === 'server').length > 1,
  )
  if (isWhole) checks.expect(twice.length > 0, 'no call was hit twice')

  show(world, killer, verdicts, committed, twice.length)
  const { published } = settled
  if (published === undefined) console.log('\nNo RabbitMQ is on this machine: events are left out.')
  else console.log(`\nevents ${published.different}, which came ${published.events.length} times`)
  console.log(`\nΣ ledger ${left.ledger}, Σ balances ${left.balances}, reserved ${left.reserved}`)
  for (const verdict of faulty.slice(0, shownFaults)) console.log(`not ok  ${describeFault(verdict)}`)
  if (faulty.length > shownFaults) console.log(`… and ${faulty.length - shownFaults} more`)
  for (const failure of checks.failed) console.log(`not ok  ${failure}`)
}

function show(
  world: World,
  killer: Killer,
  verdicts: readonly Verdict[],
  committed: ReadonlyMap<string, CommittedCall>,
  twice: number,
): void {
  console.log(`\n${matrix(killer.kills, verdicts)}`)
  console.log('\nA cell: kills that found calls in this state (calls).')
  const outcomes = world.calls.flatMap(({ outcome }) => outcome ?? [])
  const legs = outcomes.flatMap((outcome) => outcome.legs)
  const charges = [...committed.values()].reduce((sum, call) => sum + call.charges.length, 0)
  const sources = [...committed.values()].map(({ source }) => source)
  const bySource = [...new Set(sources)].map(
    (source) => `${source} ${sources.filter((one) => one === source).length}`,
  )
  const unavoidable = verdicts.flatMap((verdict) => verdict.unavoidable)
  const offMs = verdicts.flatMap((verdict) => verdict.offMs)
  const failedStarts = world.nodes.reduce((sum, node) => sum + node.failedStarts, 0)
  console.log(
    [
      '',
      `calls ${world.calls.length}, which reached a server ${world.calls.filter((call) => call.hasReachedServer).length}`,
      `CDRs ${committed.size} (${bySource.join(', ')})`,
      `legs ${legs.length}, answered ${legs.filter((leg) => leg.answeredAt !== undefined).length}; charges ${charges}`,
      `calls hit by something ${world.calls.filter((call) => call.hits.length > 0).length}; by two dead servers or more ${twice}`,
      `charges that are not exact to the millisecond, for want of the leg's own word ${offMs.length}` +
        (offMs.length === 0 ? '' : ` (${Math.round(Math.max(...offMs))} ms at the most)`),
      `conversations that nobody was there to keep ${unavoidable.length}` +
        (unavoidable.length === 0 ? '' : ` (for ${Math.max(...unavoidable)} ms in a row at the most)`),
      `starts of a server that a service was away for ${failedStarts}`,
    ].join('\n'),
  )
}
