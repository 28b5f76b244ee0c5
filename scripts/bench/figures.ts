import { measureAuthorise, type AuthoriseResult } from './authorise.js'
import { measureCdrs, type CdrsResult } from './cdrs.js'
import { measureBlacklist, type BlacklistResult } from './blacklist.js'
import { measureCommits, type CommitsResult } from './commits.js'
import { measureJournal, type JournalResult } from './journal.js'
import { withDatabase } from './database.js'
import type { Options } from './options.js'
import { measurePlan, type PlanResult } from './plan.js'
import type { Processes } from './processes.js'
import { measureTariff, type TariffResult } from './tariff.js'

/** What was measured apart from the servers. */
export interface Figures {
  readonly journal?: JournalResult
  readonly commits?: CommitsResult
  readonly authorise?: AuthoriseResult
  readonly tariff?: TariffResult
  readonly plan?: PlanResult
  readonly cdrs?: CdrsResult
  readonly blacklist?: BlacklistResult
}

/** One after the other: each has the machine to itself. */
export async function measureFigures(
  options: Options,
  processes: Processes,
  progress: (text: string) => void,
): Promise<Figures> {
  const { parts, isQuick } = options
  const serverUrl = processes.services?.databaseUrl
  const rounds = isQuick ? 1 : 5
  const records = isQuick ? 10_000 : 20_000
  const figures: { -readonly [Name in keyof Figures]: Figures[Name] } = {}
  if (parts.includes('journal'))
    figures.journal = await measureJournal({ records: 2 * records, rounds }, progress)
  if (serverUrl === undefined) return figures
  if (parts.includes('commits'))
    figures.commits = await measureCommits(serverUrl, { records, rounds }, progress)
  if (parts.includes('authorise'))
    figures.authorise = await measureAuthorise(serverUrl, { seconds: isQuick ? 2 : 5, rounds }, progress)
  if (parts.includes('tariff'))
    figures.tariff = await withDatabase(serverUrl, (url) => measureTariff(url, progress))
  if (parts.includes('plan')) figures.plan = await measurePlan(processes, serverUrl, options, progress)
  if (parts.includes('cdrs'))
    figures.cdrs = await measureCdrs(
      serverUrl,
      { rows: options.rows, records, rounds: isQuick ? 1 : 3 },
      progress,
    )
  if (parts.includes('blacklist'))
    figures.blacklist = await measureBlacklist(
      processes,
      serverUrl,
      { seconds: isQuick ? 2 : 5, rounds },
      progress,
    )
  return figures
}
