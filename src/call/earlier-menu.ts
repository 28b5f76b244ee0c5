import type { Logger } from 'pino'
import { inTime } from '../common/in-time.js'
import type { Menu } from '../store/flow.js'

/** PostgreSQL is asked while a caller hears nothing. */
const withinMs = 1_000

/**
 * A menu as it was when a call entered it, before its server died.
 *
 * @param now as it is now
 * @param ask for it as it was
 * @param about for the log
 * @returns `now` where the earlier one is gone, or nobody tells in time
 */
export async function earlierMenu(
  now: Menu | undefined,
  ask: () => Promise<Menu | undefined>,
  about: { readonly menu: string; readonly version: number },
  log: Pick<Logger, 'warn'>,
): Promise<Menu | undefined> {
  let reason = 'it is gone'
  try {
    const earlier = await inTime(ask(), withinMs, () => new Error(`no answer within ${withinMs} ms`))
    if (earlier !== undefined) return earlier
  } catch (error) {
    reason = error instanceof Error ? error.message : String(error)
  }
  log.warn(
    { ...about, reason },
    'the menu that the call was in is not to be had: it goes on with the present one',
  )
  return now
}
