/**
 * A server's journal on a disk that is too small for its events: calls come and go, and each tells of itself. Its
 * arguments are the folder and how many calls. Each line of its output is a fact.
 */
import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { Journal } from '../../src/journal/journal.js'
import { paidCall } from './call-records.js'

const [dir = '', calls] = process.argv.slice(2)
const say = (what: string, about = ''): void => {
  process.stdout.write(`${what} ${about}\n`)
}

const journal = await Journal.open({ dir, log: pino({ level: 'silent' }), reserveBytes: 2 ** 20 })
try {
  for (let call = 0; call < Number(calls); call++) {
    const callUuid = randomUUID()
    await journal.openCall(callUuid, {})
    for (let n = 0; n < 20; n++) journal.events.add(`${call}:${n} ${'x'.repeat(700)}`)
    await journal.append(paidCall(60_000, { callUuid }), [`${call}:hangup`])
    say('kept', callUuid)
    // PostgreSQL is there; RabbitMQ is not.
    if (call % 2 === 1) await journal.remove(journal.read(1).map(({ key }) => key))
  }
  say('dropped', String(journal.events.dropped))
} catch (error) {
  say('failed', String(error))
}
await journal.close()
