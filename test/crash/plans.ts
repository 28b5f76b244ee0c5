import type { Rate } from '../../src/billing/rating.js'
import type { CallOptions } from '../support/switch/call.js'
import { farEnds, type FarEnd } from '../support/switch/far-end.js'
import type { Random } from './random.js'
import {
  inboundRate,
  menuNumber,
  poorTenants,
  postpaidTenant,
  richTenant,
  steppedTenant,
  type CrashTenant,
} from './tenants.js'

/** A call, and what must come of it whatever dies meanwhile. */
export interface Plan {
  readonly kind: string
  /** Undefined: nobody's call. */
  readonly tenant: CrashTenant | undefined
  readonly options: Pick<
    CallOptions,
    'called' | 'variables' | 'farEnd' | 'finalEventDelayMs' | 'profile' | 'digits' | 'promptMs'
  >
  /** What a called leg costs that is answered; undefined: nothing. */
  readonly rate: Rate | undefined
  /** How long the two want to talk, in ms; undefined: they never do, or as long as the money lasts. */
  readonly talkMs: number | undefined
}

const mobile = '0901234567'

/** What a round may ask of a call that it wants in a certain state. */
export interface TalkWish {
  readonly ringsMs: number
  readonly talkMs: number
  /** How long mod_json_cdr, or whatever else, keeps the final event. */
  readonly finalEventDelayMs?: number
  /** Default: one of the two, by chance. */
  readonly endedBy?: 'caller' | 'called'
}

/** A charged call over a gateway, answered, and ended by one of the two. */
export function talk(random: Random, { ringsMs, talkMs, finalEventDelayMs, endedBy }: TalkWish): Plan {
  const tenant = random.pick([richTenant, richTenant, steppedTenant, postpaidTenant])
  const by = endedBy ?? random.pick(['caller', 'called'] as const)
  const ends = by === 'called' ? { hangsUpAfterMs: talkMs } : { callerHangsUpAfterMs: talkMs }
  const answers: FarEnd = { ringsAfterMs: Math.min(30, ringsMs), answersAfterMs: ringsMs, ...ends }
  const failsOver = random.chance(0.2)
  return {
    kind: failsOver ? 'the second gateway' : 'talk',
    tenant,
    options: {
      called: mobile,
      variables: { accountcode: tenant.id },
      farEnd: (dialString) => (failsOver && dialString.includes('carrier1') ? farEnds.unreachable : answers),
      ...(finalEventDelayMs !== undefined && { finalEventDelayMs }),
    },
    rate: tenant.rate,
    talkMs,
  }
}

/** A caller in a menu of two levels, of which the second leads to a number outside. */
export function inMenu(random: Random): Plan {
  const talkMs = random.whole(500, 4_000)
  return {
    kind: 'menu',
    tenant: richTenant,
    options: {
      called: menuNumber,
      variables: { accountcode: richTenant.id },
      promptMs: random.whole(100, 600),
      // Thinks about it, each time that a server begins anew.
      digits: ['', '1', '', '1', '', '1', '1', '1'],
      farEnd: { answersAfterMs: 100, hangsUpAfterMs: talkMs },
    },
    rate: richTenant.rate,
    talkMs,
  }
}

type Maker = (random: Random) => Plan

const talkOf =
  (least: number, most: number): Maker =>
  (random) =>
    talk(random, { ringsMs: random.whole(0, 800), talkMs: random.whole(least, most) })

function unanswered(kind: string, farEnd: FarEnd): Maker {
  return (random) => {
    const tenant = random.pick([richTenant, postpaidTenant])
    const options = { called: mobile, variables: { accountcode: tenant.id }, farEnd }
    return { kind, tenant, options, rate: tenant.rate, talkMs: undefined }
  }
}

interface Inside extends Pick<Plan, 'kind' | 'rate'> {
  readonly tenant: CrashTenant
  readonly called: string
  readonly account: string
  readonly farEnd: (talkMs: number) => FarEnd
}

/** A talk with one of the tenant's own phones. */
function inside({ kind, tenant, called, account, farEnd, rate }: Inside): Maker {
  return (random) => {
    const talkMs = random.whole(500, 6_000)
    const options = { called, variables: { accountcode: account }, farEnd: farEnd(talkMs) }
    return { kind, tenant, options, rate, talkMs }
  }
}

/** Calls as they come: some are charged, some are not, some are refused. */
const makers: readonly (readonly [share: number, make: Maker])[] = [
  [5, talkOf(300, 3_000)],
  [4, talkOf(3_000, 7_500)],
  [2, inMenu],
  [1, unanswered('busy', farEnds.busy)],
  [1, unanswered('the caller gives up', { ringsAfterMs: 50, callerCancelsAfterMs: 700 })],
  [
    2,
    inside({
      kind: 'internal',
      tenant: richTenant,
      called: '1001',
      account: `${richTenant.id}-1000`,
      farEnd: (talkMs) => ({ ringsAfterMs: 40, answersAfterMs: 300, hangsUpAfterMs: talkMs }),
      rate: undefined,
    }),
  ],
  [
    2,
    inside({
      kind: 'inbound, charged',
      tenant: steppedTenant,
      called: '02899900001',
      account: steppedTenant.id,
      farEnd: (talkMs) => ({ ringsAfterMs: 40, answersAfterMs: 400, callerHangsUpAfterMs: talkMs }),
      rate: inboundRate,
    }),
  ],
  [
    1,
    () => ({
      kind: 'emergency',
      tenant: richTenant,
      options: {
        called: '115',
        variables: { accountcode: richTenant.id },
        farEnd: { answersAfterMs: 200, hangsUpAfterMs: 1_500 },
      },
      rate: undefined,
      talkMs: 1_500,
    }),
  ],
  [
    1,
    () => ({
      kind: 'no rate',
      tenant: richTenant,
      options: { called: '0012125550100', variables: { accountcode: richTenant.id } },
      rate: undefined,
      talkMs: undefined,
    }),
  ],
  [
    1,
    () => ({
      kind: "nobody's",
      tenant: undefined,
      options: { called: mobile, profile: 'external' },
      rate: undefined,
      talkMs: undefined,
    }),
  ],
  [
    3,
    (random) => {
      const tenant = random.pick(poorTenants)
      return {
        kind: 'as long as the money lasts',
        tenant,
        options: {
          called: mobile,
          variables: { accountcode: tenant.id },
          // Some hang up before their money does.
          farEnd: farEnds.answers(random.whole(1_000, 20_000), 200),
        },
        rate: tenant.rate,
        talkMs: undefined,
      }
    },
  ],
]

const shares = makers.reduce((sum, [share]) => sum + share, 0)

export function anyPlan(random: Random): Plan {
  let at = random.next() * shares
  for (const [share, make] of makers) if ((at -= share) < 0) return make(random)
  return talkOf(300, 3_000)(random)
}

/** A talk for longer than its first slice. */
export function longTalk(random: Random, sliceMs: number): Plan {
  return { ...talk(random, { ringsMs: 50, talkMs: sliceMs + random.whole(2_000, 9_000) }), kind: 'long talk' }
}
