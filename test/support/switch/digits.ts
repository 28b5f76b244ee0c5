import { playedMs, setPlayed } from './media.js'
import type { Session } from './session.js'
import type { Wake } from './thread.js'

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

/** `<min> <max> <tries> <timeout> <terminators> <file> <invalid_file> <var_name> <regexp> [<digit_timeout>]` */
export async function playAndGetDigits(session: Session, argument: string): Promise<void> {
  const words = argument.split(' ')
  const [min = '1', max = '1', tries = '1', timeout = '5000', terminators = '#'] = words
  const [prompt = '', invalid = '', variable = '', pattern = '.*', digitTimeout = timeout] = words.slice(5)
  const { variables } = session.channel
  variables.unset(variable)
  const collection: Collection = {
    min: Number(min),
    max: Number(max),
    tries: Number(tries),
    timeoutMs: Number(timeout),
    terminators: terminators === 'none' ? '' : terminators,
    prompt,
    invalid,
    variable,
    pattern,
    digitTimeoutMs: Number(digitTimeout),
  }
  const typed = session.call.nextDigits()
  if (typed !== undefined)
    session.clock.after(typingMs, 'script', () => {
      session.receiveDigits(typed)
    })
  for (let left = collection.tries; left > 0 && session.isReady; left--) {
    if (await collect(session, collection)) return
    variables.set('read_result', 'failure')
    if (session.isReady && (await playUntilDigit(session, invalid)) === 'break') return
  }
}

/** One try. @returns whether valid digits came */
async function collect(session: Session, collection: Collection): Promise<boolean> {
  const { variables } = session.channel
  let wake = await playUntilDigit(session, collection.prompt)
  if (wake === 'break') return true
  let digits = ''
  let terminator = ''
  let waitMs = collection.timeoutMs
  while (digits.length < collection.max && terminator === '') {
    if (session.pendingDigits === '') wake = await session.waitInterruptibly(waitMs * 1000, ['digits'])
    if (session.pendingDigits === '') break
    const [digit = ''] = session.pendingDigits
    session.pendingDigits = session.pendingDigits.slice(1)
    if (collection.terminators.includes(digit)) terminator = digit
    else digits += digit
    waitMs = collection.digitTimeoutMs
  }
  const isValid = digits.length >= collection.min && new RegExp(`^(?:${collection.pattern})$`).test(digits)
  if (!isValid || wake === 'hangup') return false
  variables.set('read_terminator_used', terminator)
  variables.set('read_result', 'success')
  variables.set(collection.variable, digits)
  return true
}

/** A digit ends the prompt. */
async function playUntilDigit(session: Session, source: string): Promise<Wake> {
  if (session.pendingDigits !== '') return 'digits'
  const startedAt = session.clock.now
  const ms = playedMs(source, session.call.promptMs)
  const wake = await session.waitInterruptibly(ms === undefined ? undefined : ms * 1000, ['digits'])
  setPlayed(session, Math.round((session.clock.now - startedAt) / 1000))
  return wake
}
