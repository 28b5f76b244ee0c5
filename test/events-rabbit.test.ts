import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { callEvent } from '../src/events/call-event.js'
import { CallEvents } from '../src/events/call-events.js'
import { RabbitPublisher } from '../src/events/rabbit.js'
import { Journal } from '../src/journal/journal.js'
import { eventsAre, snapshot } from './support/call-events.js'
import { paidCall } from './support/call-records.js'
import { testLinger } from './support/linger.js'
import { logLines } from './support/log-lines.js'
import { Line } from './support/outage.js'
import { amqpUrl, Consumer, testCustomer, withoutRabbit } from './support/rabbit.js'
import { temporaryFolder } from './support/services.js'
import { SimulatedSwitch } from './support/switch/switch.js'
import { until } from './support/wire.js'

const silent = pino({ level: 'silent' })
const needs = { skip: withoutRabbit }

async function testNode(t: Pick<Test, 'teardown'>, { url = amqpUrl, log = silent, window = 1_000 } = {}) {
  const journal = await Journal.open({ dir: await temporaryFolder(t), log: silent, reserveBytes: 2 ** 20 })
  t.teardown(() => journal.close())
  const events = new CallEvents({ journal, isPublished: true, timeZoneOf: () => 'UTC' })
  const start = () => {
    const publisher = new RabbitPublisher({ url, events: journal.events, log, window })
    t.teardown(() => publisher.close())
    return publisher
  }
  return { journal, events, start }
}

function ringing(tenant: string, count: number, uuid: string = randomUUID()) {
  return callEvent(snapshot({ tenant, count, uuid }))
}

t.test('a consumer reads what happened to a call, and the journal is empty', needs, async (t) => {
  const tenant = testCustomer()
  const { journal, events, start } = await testNode(t)
  const record = paidCall(60_000, { tenant })
  events.publish(ringing(tenant, 1, record.callUuid))
  events.publish(callEvent(snapshot({ tenant, uuid: record.callUuid, count: 2, status: 'answered' })))
  await events.append(record)
  const consumer = await Consumer.open(t, tenant)
  // Nobody has made the queue: what is published before a consumer comes waits for it.
  const publisher = start()
  t.ok(await publisher.drain(AbortSignal.timeout(20_000)))
  t.match(publisher.state, { isUp: true, trouble: undefined, pending: 0 })
  t.equal(await consumer.waiting(), 3)
  await consumer.declare()
  await consumer.read()
  const received = await consumer.until(3)
  t.same(
    received.map(({ call_status, sequence }) => [call_status, sequence]),
    [
      ['ringing', 1],
      ['answered', 2],
      ['hangup', 999_999_999],
    ],
  )
  t.match(consumer.received[2], {
    event: { customer_id: tenant, call_id: record.callUuid, bill_sec: '60' },
    properties: {
      contentType: 'application/json',
      deliveryMode: 2,
      messageId: `${record.callUuid}:hangup`,
      timestamp: Math.floor(record.endedAt / 1_000_000),
      type: 'hangup',
    },
  })
  t.equal(journal.pending, 1, 'the record waits for PostgreSQL')
  await publisher.close()
})

t.test('RabbitMQ comes and goes: nothing is lost, each call in its order', needs, async (t) => {
  const tenants = [testCustomer(), testCustomer()]
  const line = await Line.to(t, amqpUrl)
  const { log, lines } = logLines()
  const { journal, events, start } = await testNode(t, { url: line.url(amqpUrl), log, window: 50 })
  await line.cut()
  const publisher = start()
  const consumers = await Promise.all(tenants.map((tenant) => Consumer.open(t, tenant)))
  for (const consumer of consumers) {
    await consumer.declare()
    await consumer.read()
  }
  const calls = Array.from({ length: 100 }, (_, i) => ({ uuid: randomUUID(), tenant: tenants[i % 2]! }))
  // Each has ten events while it comes and goes.
  for (let count = 1; count <= 10; count++) {
    for (const { uuid, tenant } of calls) events.publish(ringing(tenant, count, uuid))
    if (count % 2 === 0) await line.mend()
    else await line.cut()
    if (count === 2 || count === 6)
      await Promise.race(consumers.map((consumer) => consumer.until(count * 20)))
  }
  t.ok(await publisher.drain(AbortSignal.timeout(30_000)))
  t.equal(journal.events.pending, 0)
  for (const [i, consumer] of consumers.entries()) {
    const received = await consumer.until(500)
    const own = calls.filter(({ tenant }) => tenant === tenants[i])
    t.equal(received.length, 500)
    t.ok(
      own.every(({ uuid }) => {
        const sequences = received.filter(({ call_id }) => call_id === uuid).map(({ sequence }) => sequence)
        return sequences.join() === '1,2,3,4,5,6,7,8,9,10'
      }),
      'each call in its order',
    )
  }
  const about = (msg: string) => lines.filter((line) => line.msg === msg).length
  t.ok(about('RabbitMQ takes events again') >= 2)
  t.ok(about('RabbitMQ is away: events wait, trying again for ever') >= 2)
})

t.test('a queue that somebody has made otherwise is used as it is, and named', needs, async (t) => {
  const tenant = testCustomer()
  const { log, lines } = logLines()
  const { events, start } = await testNode(t, { log })
  const consumer = await Consumer.open(t, tenant)
  await consumer.declare({ maxLength: 10_000 })
  await consumer.read()
  events.publish(ringing(tenant, 1))
  const publisher = start()
  await consumer.until(1)
  t.match(
    lines.filter(({ level }) => level > 30),
    [{ queue: `call.events.${tenant}`, reason: /inequivalent arg 'x-max-length' for queue/ }],
  )
  events.publish(ringing(tenant, 2))
  await consumer.until(2)
  t.equal(publisher.state.trouble, undefined)
})

t.test('a queue that is deleted while calls come is made anew, and nothing is lost', needs, async (t) => {
  const tenant = testCustomer()
  const { log, lines } = logLines()
  const { events, start } = await testNode(t, { log })
  const consumer = await Consumer.open(t, tenant)
  const publisher = start()
  events.publish(ringing(tenant, 1))
  t.ok(await publisher.drain(AbortSignal.timeout(20_000)))
  await consumer.deleteQueue()
  const uuid = randomUUID()
  for (let count = 1; count <= 20; count++) events.publish(ringing(tenant, count, uuid))
  t.ok(await publisher.drain(AbortSignal.timeout(20_000)))
  t.equal(await consumer.waiting(), 20)
  await consumer.declare()
  await consumer.read()
  t.same(
    (await consumer.until(20)).map(({ sequence }) => sequence),
    Array.from({ length: 20 }, (_, i) => i + 1),
  )
  t.match(
    lines.filter(({ level }) => level > 30),
    [{ queue: `call.events.${tenant}`, reason: 'the queue is not there any more' }],
  )
})

t.test('a queue that is full and refuses holds up nobody else, and loses nothing', needs, async (t) => {
  const [full, other] = [testCustomer(), testCustomer()]
  const { events, start } = await testNode(t, { window: 10 })
  const slow = await Consumer.open(t, full)
  const quick = await Consumer.open(t, other)
  await slow.declare({ maxLength: 5, overflow: 'reject-publish' })
  const publisher = start()
  // More than its queue, and more than the window takes.
  for (let n = 0; n < 100; n++) events.publish(ringing(full, 1))
  while (!publisher.state.trouble?.includes(full)) await new Promise<void>((resolve) => setImmediate(resolve))
  t.equal(publisher.state.trouble, `call.events.${full}: RabbitMQ refuses events`)
  for (let n = 0; n < 30; n++) events.publish(ringing(other, 1))
  await quick.declare()
  await quick.read()
  await quick.until(30)
  t.ok(publisher.state.pending >= 90, 'the others wait')
  await slow.read()
  t.equal((await slow.until(100)).length, 100)
  t.ok(await publisher.drain(AbortSignal.timeout(20_000)))
})

t.test('a call whose event is refused for a while is told of in its order all the same', needs, async (t) => {
  const tenant = testCustomer()
  const { events, start } = await testNode(t)
  const consumer = await Consumer.open(t, tenant)
  await consumer.declare({ maxLength: 1, overflow: 'reject-publish' })
  const uuid = randomUUID()
  for (let count = 1; count <= 12; count++) events.publish(ringing(tenant, count, uuid))
  const publisher = start()
  await until(() => publisher.state.trouble !== undefined)
  await consumer.read()
  const received = await consumer.until(12)
  t.same(
    received.map(({ sequence }) => sequence),
    Array.from({ length: 12 }, (_, i) => i + 1),
  )
})

t.test(
  "what a dialplan says of its call comes to its customer's queue, by way of a session",
  needs,
  async (t) => {
    const customer = testCustomer()
    const consumer = await Consumer.open(t, customer)
    await consumer.declare()
    await consumer.read()
    const linger = await testLinger(t, { AMQP_URL: amqpUrl })
    const sw = new SimulatedSwitch()
    t.teardown(() => {
      sw.destroy()
    })
    const variables = {
      CALL_ID: randomUUID(),
      CUSTOMER_ID: customer,
      DIRECTION: 'inbound',
      CALL_STATUS: 'queued',
      QUEUE_NAME: 'support',
      PHONE_DIAL: '0987654321',
      AGENT_EXTEN: '1001',
    }
    const { uuid } = await sw.call({
      to: [{ ...linger.esl, path: 'event' }],
      caller: '0987654321',
      called: '1000',
      variables,
    }).ended
    const [event] = await consumer.until(1)
    t.match(event, {
      call_id: variables.CALL_ID,
      customer_id: customer,
      unique_id: uuid,
      linked_id: variables.CALL_ID,
      direction: 'inbound',
      call_status: 'queued',
      queue_name: 'support',
      phone_number: '0987654321',
      agent_exten: '1001',
      agent_account: '',
      trunk: '',
      dial_mode: '',
      metrics: { queue: 1, inbound: 1, answer: 0 },
      sequence: 1,
    })
    t.match(consumer.received[0]?.properties, { messageId: event?.id, type: 'queued', deliveryMode: 2 })
  },
)

t.test('who may not in is told why in one line', needs, async (t) => {
  const cases: Record<string, [change: (url: URL) => void, reason: RegExp]> = {
    'a wrong password': [
      (url) => (url.password = 's3cr3t'),
      /^it refuses the user or the password of AMQP_URL \([\w.:]+\)$/,
    ],
    'a wrong virtual host': [
      (url) => (url.pathname = '/n%c3%b6'),
      /^it does not let the user of AMQP_URL into the virtual host "nö" \([\w.:]+\)$/,
    ],
  }
  for (const [name, [change, reason]] of Object.entries(cases)) {
    const url = new URL(amqpUrl)
    url.username ||= 'guest'
    change(url)
    const { log, lines, warnings } = logLines()
    const { journal, events, start } = await testNode(t, { url: url.href, log })
    events.publish(ringing(testCustomer(), 1))
    await eventsAre(journal.events, 1)
    const publisher = start()
    while (warnings().length === 0) await new Promise<void>((resolve) => setImmediate(resolve))
    t.match(lines[0]?.reason, reason, name)
    t.notMatch(JSON.stringify(lines), 's3cr3t')
    t.match(publisher.state, { isUp: false, pending: 1 })
    await publisher.close()
  }
})

t.test('a stop publishes what it can; what is left goes out at the next start', needs, async (t) => {
  const tenant = testCustomer()
  const { journal, events, start } = await testNode(t)
  const consumer = await Consumer.open(t, tenant)
  await consumer.declare()
  await consumer.read()
  const first = start()
  for (let n = 0; n < 3_000; n++) events.publish(ringing(tenant, 1))
  await eventsAre(journal.events, 3_000)
  await consumer.until(500)
  await first.close()
  t.ok(journal.events.pending > 0, `${journal.events.pending} are left`)
  t.ok(consumer.received.length === consumer.different.length, 'none twice')
  t.ok(await start().drain(AbortSignal.timeout(30_000)))
  t.equal((await consumer.until(3_000)).length, 3_000)
})
