import { randomBytes } from 'node:crypto'
import t from 'tap'
import { screen, startProcess } from './support/server-process.js'
import { temporaryFolder, testDatabase, testRedis } from './support/services.js'
import { farEnds } from './support/switch/far-end.js'
import { SimulatedSwitch } from './support/switch/switch.js'

t.test(
  'a disk without space for the journal: new calls hear SIP 503, /ready says why, an emergency is served',
  async (t) => {
    const database = await testDatabase(t)
    const redis = await testRedis(t)
    const adminKey = randomBytes(32).toString('base64url')
    // 12 MiB: less than the 20 that are to be set aside for calls in progress, enough for a few records.
    const run = startProcess(
      await temporaryFolder(t),
      { DATABASE_URL: database.url, REDIS_URL: redis.url, ADMIN_KEY: adminKey },
      24_576,
    )
    const sw = new SimulatedSwitch()
    t.teardown(async () => {
      sw.destroy()
      run.child.kill('SIGTERM')
      await run.ended
    })
    const { http, esl } = await screen(run)
    const ready = await fetch(`${http}/ready`)
    t.equal(ready.status, 503)
    t.match(await ready.text(), /no space is left for the journal/)

    const call = { to: [esl], caller: '1000', farEnd: farEnds.answers(60_000) }
    const refused = await sw.call({ ...call, called: '0901234567' }).ended
    t.match(refused.connections[0]?.received, /execute-app-name: respond\nexecute-app-arg: 503 /)
    t.same(refused.legs, [])
    const emergency = await sw.call({ ...call, called: '115' }).ended
    t.equal(emergency.legs.length, 1)

    const answer = async (uuid: string) =>
      (await (
        await fetch(`${http}/v1/cdrs?call_uuid=${uuid}`, { headers: { authorization: `Bearer ${adminKey}` } })
      ).json()) as { items: unknown[] }
    const cdr = async (uuid: string) => {
      for (;;) {
        const { items } = await answer(uuid)
        if (items.length > 0) return items
      }
    }
    t.match(await cdr(refused.uuid), [{ refusal: 'the journal takes no new calls', cost: '0.00' }])
    t.match(await cdr(emergency.uuid), [{ called: '115', refusal: null }])
  },
)
