import { startTime } from '../embedded/processes.js'
import { Environment, type Change } from './environment.js'
import { JournalError } from './errors.js'

const holder = { on: 'meta', key: 'holder' } as const

/**
 * Opens the journal in `dir` for this process and no other.
 *
 * @throws JournalError `held` when another process has it; Error when the folder cannot be used, in one line
 */
export async function hold(dir: string): Promise<Environment> {
  let env: Environment | undefined
  try {
    const opened = Environment.open(dir)
    env = opened
    opened.exclusively((put) => {
      const [, pid = '', started] = /^(\d+) (.+)$/.exec(opened.get(holder.on, holder.key) ?? '') ?? []
      if (started !== undefined && startTime(Number(pid)) === started)
        throw new JournalError('held', `another Linger (process ${pid}) has the journal in ${dir}`)
      put({ ...holder, text: `${process.pid} ${startTime(process.pid)}` })
    })
    return opened
  } catch (error) {
    await env?.close()
    if (error instanceof JournalError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`the journal in ${dir} cannot be used: ${reason}`, { cause: error })
  }
}

/** Lets another process have it. */
export const letGo: Change = holder
