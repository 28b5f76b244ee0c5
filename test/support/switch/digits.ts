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
  for (let left = collection.tries; left > 0; left--) {
    const result = await collect(session, collection)
    if (result === 'success') return
    variables.set('read_result', 'failure')
    if (result === 'gone') return
    await playUntilDigit(session, invalid)
  }
}

/** One try. @returns whether valid digits came, or that there is no caller to give any */
async function collect(session: Session, collection: Collection): Promise<'success' | 'failure' | 'gone'> {
  const { min, max, terminators, pattern, timeoutMs, digitTimeoutMs } = collection
  await playUntilDigit(session, collection.prompt)
  let digits = ''
  let terminator = ''
  while (digits.length < max && terminator === '') {
    const waitMs = digits === '' ? timeoutMs : digitTimeoutMs
    if (session.pendingDigits === '') await session.waitInterruptibly(waitMs * 1000, ['digits'])
    const [digit] = session.pendingDigits
    if (digit === undefined) break
    session.pendingDigits = session.pendingDigits.slice(1)
    if (terminators.includes(digit)) terminator = digit
    else digits += digit
  }
  if (!session.isReady) return 'gone'
  if (digits.length < min || !new RegExp(`^(?:${pattern})$`).test(digits)) return 'failure'
  const { variables } = session.channel
  variables.setAll({ read_terminator_used: terminator, read_result: 'success' })
  variables.set(collection.variable, digits)
  return 'success'
}

/** A digit ends the prompt. */
async function playUntilDigit(session: Session, source: string): Promise<void> {
  if (session.pendingDigits === '') await play(session, source, ['digits'])
}
