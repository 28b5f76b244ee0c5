import { setTimeout as delay } from 'node:timers/promises'
import { formatMoney, parseMoney } from '../src/billing/money.js'
import type { CdrView } from '../src/store/cdrs.js'
import { checkDatabase, openPool } from '../src/store/database.js'
import type { CallOptions } from '../test/support/switch/call.js'
import { farEnds } from '../test/support/switch/far-end.js'
import { withAdminKey } from './demo/admin-key.js'
import { Admin } from './demo/admin.js'
import { ledgerOf } from './demo/ledger.js'
import { Stage } from './demo/play.js'
import { makePrepaidTenant, prepaidTenant, setBalance } from './demo/prepaid.js'
import { showCdr, showCdrs, showLedger } from './demo/show.js'
import { menuNumber, saveDemoFlows } from './demo/flows.js'
import { findTarget } from './demo/target.js'
import { dialplanGuardSeconds, dialplanVariables } from './dialplan.js'

/**
 * `npm run demo`: plays calls against the running server from the simulated switch, and shows what they left:
 * CDRs, the ledger, the balance.
 */

const tenant = 'demo'
/** After so long every server knows of a tenant that is new, in ms. */
const catalogMs = 2_500
const mobile = '0901234567'
/** A caller from outside, whose carrier's trunk belongs to the tenant. */
const outsider = '0987654321'
/** The account codes that the directory and the dialplan set. */
const asExtension = { accountcode: '1000' }
const asTrunk = { accountcode: tenant }

async function main(): Promise<void> {
  const { esl, http, databaseUrl, adminKey } = await findTarget()
  const pool = openPool(databaseUrl, { max: 1 })
  try {
    await checkDatabase(pool)
    await withAdminKey(pool, adminKey, async (key) => {
      const admin = new Admin(http, key)
      const before = await admin.balance(tenant)
      console.log(`Linger at ${http}, its event socket at ${esl.host}:${esl.port}`)
      console.log(`The tenant ${tenant} has ${before.balance} ${before.currency}.`)

      const { isNew } = await saveDemoFlows(pool)
      if ((await makePrepaidTenant(pool)) || isNew) await delay(catalogMs)
      const cdrs = await playAll(admin, (options) => ({
        ...options,
        to: [esl],
        guardSeconds: dialplanGuardSeconds,
        variables: { ...options.variables, ...dialplanVariables },
      }))

      const uuids = cdrs.filter((cdr) => cdr.tenant === tenant).map(({ call_uuid }) => call_uuid)
      const ledger = await ledgerOf(pool, uuids)
      const prepaid = await admin.balance(prepaidTenant)
      const after = await admin.balance(tenant)
      const charged = ledger.reduce((sum, { amount }) => sum + parseMoney(amount), 0n)
      console.log(`\nThe CDRs (GET /v1/cdrs)\n${showCdrs(cdrs)}`)
      console.log(`\nThe ledger lines of these calls\n${showLedger(ledger)}`)
      console.log(
        `\nThe balance was ${before.balance} and is ${after.balance} ${after.currency}; ` +
          `these calls changed it by ${formatMoney(charged)}.`,
      )
      console.log(
        `The tenant ${prepaidTenant} has ${prepaid.balance} ${prepaid.currency} left, and ${prepaid.reserved} reserved.`,
      )
    })
  } finally {
    await pool.end()
  }
}

async function playAll(admin: Admin, over: (options: CallOptions) => CallOptions): Promise<CdrView[]> {
  const stage = new Stage()
  const cdrs: CdrView[] = []
  const play = async (title: string, options: CallOptions, lastsMs?: number): Promise<void> => {
    console.log(`\n${cdrs.length + 1}. ${title}`)
    const { uuid } = await stage.play(over(options), lastsMs)
    const cdr = await admin.cdr(uuid)
    cdrs.push(cdr)
    console.log(showCdr(cdr))
  }
  const fromExtension = { caller: '1000', variables: asExtension }
  const fromOutside = {
    caller: outsider,
    called: '1000',
    variables: asTrunk,
    farEnd: farEnds.answers(5_000, 2_000),
  }
  const talks = (talkMs: number) => ({ ringsAfterMs: 400, answersAfterMs: 1_500, hangsUpAfterMs: talkMs })

  await play(
    `1000 calls ${mobile} and talks for exactly 60 s`,
    { ...fromExtension, called: mobile, farEnd: talks(60_000) },
    62_000,
  )
  await play(
    `1000 calls ${mobile} and talks for 2.54 s`,
    { ...fromExtension, called: mobile, farEnd: talks(2_540) },
    4_000,
  )
  await play(
    '1000 calls 1001, a colleague',
    { ...fromExtension, called: '1001', farEnd: talks(8_000) },
    10_000,
  )
  await play(`1000 calls ${mobile}, who is busy`, { ...fromExtension, called: mobile, farEnd: farEnds.busy })

  // Should the demo be killed here, the entry is gone by itself soon.
  if (!(await admin.addToBlacklist(outsider, 60, 'npm run demo')))
    throw new Error(`${outsider} is on your blacklist: remove it for the demo, or let it expire`)
  console.log(`\n   POST /v1/blacklist {"number": "${outsider}"}`)
  try {
    await play(`${outsider} calls 1000: blacklisted, refused before it is answered`, fromOutside)
  } finally {
    await admin.removeFromBlacklist(outsider)
  }
  console.log(`\n   DELETE /v1/blacklist/${outsider}`)
  await play(`${outsider} calls 1000 again, and gets through`, fromOutside, 7_000)

  await play(
    `${outsider} calls ${menuNumber}, chooses 1 in its menu, is wrong in the next one, and gets through to 1001`,
    { caller: outsider, called: menuNumber, digits: ['1', '7', '1'], farEnd: farEnds.answers(5_000, 2_000) },
    20_000,
  )

  const booked = await setBalance(admin, '200.00')
  if (booked !== undefined) console.log(`\n   ${booked}`)
  await play(
    `A prepaid tenant with 200.00 calls ${mobile} and would talk for ever`,
    {
      caller: '0281111111',
      called: mobile,
      variables: { accountcode: prepaidTenant },
      farEnd: { ringsAfterMs: 400, answersAfterMs: 1_500 },
    },
    20_000,
  )

  await play('Somebody calls whom no tenant knows', {
    caller: '0281234567',
    called: mobile,
    profile: 'external',
  })
  return cdrs
}

// Whoever reads only the beginning (`| head`) has seen enough.
process.stdout.on('error', () => undefined)
try {
  await main()
} catch (error) {
  const message = error instanceof Error ? error.message : String(error)
  process.stderr.write(`demo: ${message.split('\n', 1)[0] ?? ''}\n`)
  process.exitCode = 1
}
