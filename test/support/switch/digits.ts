import { play } from './media.js'
import type { Session } from './session.js'

/** The argument of `play_and_get_digits`. */
interface Collection {
  readonly min: number
  readonly max: number
  readonly tries: number
  readonly timeoutMs: number
  readonly terminators: string
  readonly prompt: string
  readonly invalid: string
  readonly variable: string
  readonly pattern: string
  readonly digitTimeoutMs: number
}

/** How long a caller takes to type what is asked for. */
const typingMs = 500
/** It waits no less for a first digit. */
const shortestTimeoutMs = 1000

/** `<min> <max> <tries> <timeout> <terminators> <file> <invalid_file> <var_name> <regexp> [<digit_timeout>]` */
export async function playAndGetDigits(session: Session, argument: string): Promise<void> {
  const words = argument.split(' ')
  const [min = '1', max = '1', tries = '1', timeout = '5000', terminators = '#'] = words
  const [prompt = '', invalid = '', variable = '', pattern = '.*', digitTimeout = timeout] = words.slice(5)
  const collection: Collection = {
    min: Number(min),
    max: Math.max(Number(max), Number(min)),
    tries: Number(tries),
    timeoutMs: Math.max(Number(timeout), shortestTimeoutMs),
    terminators: terminators === 'none' ? '' : terminators,
    prompt,
    invalid,
    variable,
    pattern,
    digitTimeoutMs: Number(digitTimeout),
  }
  const typed = session.call.nextDigits()
  if (typed !== undefined && typed !== '')
    session.clock.after(typingMs, 'script', () => {
      session.receiveDigits(typed)
    })
  const { variables } = session.channel
  variables.unset(`${variable}_invalid`)
  for (let left = collection.tries; left > 0; left--) {
    if (await isCollected(session, collection)) return
    if (!session.isReady) return
    // No digit cuts it: those that come are the next try's.
    await play(session, invalid)
  }
}

/**
 * One try, after switch_ivr_read and switch_play_and_get_digits. Digits that wait are taken, the first of them instead of
 * the prompt. Too few stay in the variable; a prompt that is not there ends it without a result.
 */
async function isCollected(session: Session, collection: Collection): Promise<boolean> {
  const { min, variable, pattern, terminators, max } = collection
  const { variables } = session.channel
  variables.unset('read_result', variable)
  if (!(await isPrompted(session, collection.prompt))) return false
  const { digits, terminator, isTimedOut } = await readDigits(session, collection)
  // One digit that is all that is awaited: as a terminator it is taken away without a word.
  const isSwallowed = max === 1 && digits.length === 1 && terminators.includes(digits)
  const isEnough = digits.length >= min && session.isReady
  if (terminator !== '') variables.set('read_terminator_used', terminator)
  if (!isEnough) variables.set('read_result', 'failure')
  else variables.set('read_result', isTimedOut ? 'timeout' : 'success')
  if (!isSwallowed) variables.set(variable, digits)
  if (!isEnough || isSwallowed) return false
  if (new RegExp(pattern).test(digits)) return true
  variables.unset(variable)
  variables.set(`${variable}_invalid`, digits)
  return false
}

/** A digit ends it. @returns false when it is not there */
async function isPrompted(session: Session, prompt: string): Promise<boolean> {
  if (prompt === '' || prompt === 'silence') return true
  if (session.pendingDigits === '') return play(session, prompt, ['digits'])
  return true
}

interface Read {
  readonly digits: string
  readonly terminator: string
  readonly isTimedOut: boolean
}

async function readDigits(session: Session, collection: Collection): Promise<Read> {
  const { max, terminators, timeoutMs, digitTimeoutMs } = collection
  let digits = ''
  while (digits.length < max) {
    const waitMs = digits === '' ? timeoutMs : digitTimeoutMs
    if (session.pendingDigits === '') await session.waitInterruptibly(waitMs * 1000, ['digits'])
    const digit = session.takeDigit()
    if (digit === undefined) return { digits, terminator: '', isTimedOut: true }
    // The first of one is looked at later, in which it differs.
    if (terminators.includes(digit) && max > 1) return { digits, terminator: digit, isTimedOut: false }
    digits += digit
  }
  return { digits, terminator: '', isTimedOut: false }
}
