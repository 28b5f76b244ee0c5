import { importJournal } from '../src/journal/transfer.js'
import { runWithJournal } from './journal-settings.js'

/** Takes over what a machine that is gone still had to deliver: this one's server does it, now or when it starts. */
await runWithJournal('journal:import', 'imported', importJournal)
