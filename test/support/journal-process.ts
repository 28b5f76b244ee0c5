/**
 * A process that has a journal, for tests that kill it or limit its files: its arguments are the folder and
 * what it does. Each line of its output is a fact: what it says is kept must be found again.
 */
import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { Journal } from '../../src/journal/journal.js'
import { paidCall, unansweredCall } from './call-records.js'

const [dir = '', task] = process.argv.slice(2)
const log = pino({ level: 'silent' })

/** A pipe takes the line before this returns. */
function say(what: string, about = ''): void {
  process.stdout.write(`${what} ${about}\n`)
}

async function keep(journal: Journal, callUuid = randomUUID() as string): Promise<void> {
  await journal.append(paidCall(60_000, { callUuid }))
  say('kept', callUuid)
}

const tasks: Record<string, (journal: Journal) => Promise<void>> = {
  /** Calls come and go, many at a time, until somebody ends it. */
  calls: async (journal) => {
    const lane = async (): Promise<never> => {
      for (;;) {
        const callUuid = randomUUID()
        await journal.openCall(callUuid, { number: 42 })
        say('open', callUuid)
        await journal.keepDocument(callUuid, 'leg', callUuid)
        say('told', callUuid)
        await journal.append(paidCall(60_000, { callUuid }))
        say('kept', callUuid)
      }
    }
    await Promise.all(Array.from({ length: 30 }, lane))
  },

  /** One call, while somebody watches what is asked of the operating system. */
  one: async (journal) => {
    await journal.openCall('one', {})
    say('appending')
    await keep(journal, 'one')
    process.exit()
  },

  /** Its files may not grow as they would have to. */
  full: async (journal) => {
    const isOpened = await journal.openCall('refused later', {}).then(
      () => true,
      () => false,
    )
    const isTold = await journal.keepDocument('told before', 'leg', '{}').then(
      () => true,
      () => false,
    )
    while (!journal.isFull) await Promise.all(Array.from({ length: 20 }, () => keep(journal)))
    say('full', journal.trouble)
    for (let call = 0; call < 50; call++) await keep(journal)
    await journal.openCall('new', {}).then(
      () => {
        say('opened')
      },
      (error: unknown) => {
        say('refused', String(error))
      },
    )
    await journal.keepDocument('told later', 'leg', '{}').catch((error: unknown) => {
      say('unheard', String(error))
    })
    if (isTold) await keep(journal, 'told before')
    say('documents', String([...journal.documents()].length))
    for (let refusals = 0; ; refusals++) {
      const record = unansweredCall({ refusal: 'the journal is full' })
      const isKept = await journal.append(record).then(
        () => true,
        () => false,
      )
      if (!isKept) {
        say('refusals', String(refusals))
        break
      }
      say('kept', record.callUuid)
    }
    // It was let in, and what is reserved for it waits for its record.
    if (isOpened) {
      await journal.append(unansweredCall({ callUuid: 'refused later', refusal: 'no credit' }))
      say('kept', 'refused later')
    }
    const inHand = new Set<string>()
    const waiting = await (async () => {
      for (;;) {
        const call = randomUUID()
        const kept = keep(journal, call).then(() => {
          inHand.add(call)
        })
        // What makes room is written all the same: when that is done, the record is either kept or waits.
        await journal.dropCall('nobody')
        await new Promise(setImmediate)
        if (!inHand.has(call)) return { kept }
      }
    })()
    say('waits', String(inHand.size))
    // Now some are delivered, a few at a time.
    const isFull = () => journal.isFull
    while (isFull()) {
      const delivered = journal.read(100)
      if (delivered.length === 0) throw new Error('it is empty and still full')
      await journal.remove(delivered.map(({ key }) => key))
      for (const { text } of delivered)
        say('delivered', (JSON.parse(text) as { record: { callUuid: string } }).record.callUuid)
    }
    await waiting.kept
    await keep(journal)
    await journal.openCall('new', {})
    await journal.keepDocument('told later', 'leg', '{}')
    say('goes on')
  },

  /** One record is larger than all that its file may become. */
  huge: async (journal) => {
    const record = paidCall(60_000, { variables: { huge: 'x'.repeat(8 * 2 ** 20) } })
    void journal.append(record).then(() => {
      say('failed', 'it cannot be kept')
    })
    await Promise.all(Array.from({ length: 100 }, () => keep(journal)))
    say('goes on')
  },
}

// Whoever started it ends it.
process.stdin.resume()
try {
  const journal = await Journal.open({ dir, log, reserveBytes: 2 ** 20 })
  say('held', dir)
  await tasks[task ?? '']?.(journal)
} catch (error) {
  say('failed', String(error))
}
