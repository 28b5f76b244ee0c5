import { exportJournal } from '../src/journal/transfer.js'
import { runWithJournal } from './journal-settings.js'

/** Backs up what only this machine has. The server may run. */
await runWithJournal('journal:export', 'exported', exportJournal)
