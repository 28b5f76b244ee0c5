import * as command from '../esl/command.js'
import type { Command } from '../esl/command.js'
import { UnsafeArgument } from '../esl/errors.js'
import type { Event } from '../esl/event.js'
import type { Line } from './line.js'
import type { Prompt } from './prompt.js'
import { play, soundOf } from './sounds.js'
import { stateVariable } from './variables.js'

/** Times in ms, of up to an hour. */
export interface CollectOptions {
  /** Played one after the other first. */
  readonly prompt: readonly Prompt[]
  /** How many digits at least and at most; 1 to 32. */
  readonly min: number
  readonly max: number
  /** How often the prompt is played and digits are awaited, until they are there. Default 1. */
  readonly tries?: number
  /** For the first digit, from the end of the prompt; FreeSWITCH makes less than a second one. */
  readonly timeoutMs: number
  /** For each further one; default `timeoutMs`. */
  readonly interDigitMs?: number
  /** Digits that end the input and do not belong to it; none when empty. Default `#`. */
  readonly terminators?: string
  /** What the digits must match, whole. */
  readonly pattern?: RegExp
  /** Digits cut the prompt short. Default true. Otherwise those that are dialled during it are lost. */
  readonly bargeIn?: boolean
  /** Played before a further try, after wrong digits and after none. */
  readonly invalidPrompt?: readonly Prompt[]
  readonly noInputPrompt?: readonly Prompt[]
  /**
   * Digits that were dialled before do not count, as when those before them were wrong. Default false: who knows a menu
   * dials ahead. A further try of the same `collect` begins anew in any case.
   */
  readonly forgetsEarlier?: boolean
}

export interface Collected {
  /** What was dialled last, without the terminator; wrong ones too. */
  readonly digits: string
  /**
   * - `matched`: as many as there may be, or ended by a terminator or a pause, and right;
   * - `invalid`: too few, or not as the pattern wants them;
   * - `none`: no digit at all.
   */
  readonly why: 'matched' | 'invalid' | 'none'
  /** The digit that ended the input. */
  readonly terminator: string | undefined
  /** Prompts that could not be played: digits were awaited all the same. Empty when only some of several are missing. */
  readonly unplayed: readonly Prompt[]
}

/** Where FreeSWITCH leaves the digits. */
const digitsVariable = 'linger_digits'
/** It stays where it is when a later input ends without one. */
const terminatorVariable = 'read_terminator_used'
/** Which digits end a playback: `*` unless this says `none`. */
const playbackTerminators = 'playback_terminators'
/** No prompt at all, in a prompt's place. */
const noPrompt = 'silence'
/** Played after wrong digits, one frame of nothing; the next try's prompt says more. */
const noInvalidPrompt = 'silence_stream://20'
/** Whether the digits are right is for us to say: an argument may hold no `$`. */
const anyDigits = '.+'
const mostDigits = 32
const longestMs = 3_600_000

/** See `Channel.collect`. */
export async function collect(line: Line, options: CollectOptions, state?: string): Promise<Collected> {
  check(options)
  const { tries = 1, forgetsEarlier = false, invalidPrompt = [], noInputPrompt = [] } = options
  const unplayed = new Set<Prompt>()
  let first = state === undefined ? [] : [line.set(stateVariable, state)]
  let wrong: readonly Prompt[] = []
  for (let turn = 1; ; turn++) {
    if (turn > 1 || forgetsEarlier) first = [...first, command.api('uuid_flush_dtmf', [line.uuid])]
    const prompts = [...wrong, ...options.prompt]
    const complete = await (options.bargeIn === false
      ? afterPrompts(line, options, prompts, first, unplayed)
      : underPrompts(line, options, prompts, first, unplayed))
    const input = inputOf(complete, options)
    if (input.why === 'matched' || turn >= tries) return { ...input, unplayed: [...unplayed] }
    wrong = input.why === 'none' ? noInputPrompt : invalidPrompt
    first = []
  }
}

/** All prompts are one file to FreeSWITCH, and the first digit cuts it. What was dialled before it cuts it at once. */
async function underPrompts(
  line: Line,
  options: CollectOptions,
  prompts: readonly Prompt[],
  first: readonly Command[],
  unplayed: Set<Prompt>,
): Promise<Event> {
  const sound = prompts.length === 0 ? noPrompt : await soundOf(line, prompts)
  const complete = await awaitDigits(line, options, sound, first)
  // Without its prompt `play_and_get_digits` awaits nothing, and says nothing.
  if (sound === noPrompt || complete.peek('variable_read_result') !== undefined) return complete
  for (const prompt of prompts) unplayed.add(prompt)
  return awaitDigits(line, options, noPrompt)
}

async function afterPrompts(
  line: Line,
  options: CollectOptions,
  prompts: readonly Prompt[],
  first: readonly Command[],
  unplayed: Set<Prompt>,
): Promise<Event> {
  if (prompts.length === 0) return awaitDigits(line, options, noPrompt, first)
  await line.sendAll([...first, line.set(playbackTerminators, 'none')])
  for (const prompt of await play(line, prompts)) unplayed.add(prompt)
  return awaitDigits(line, options, noPrompt)
}

/**
 * `play_and_get_digits <min> <max> <tries> <timeout> <terminators> <file> <invalid_file> <var_name> <regexp>
 * <digit_timeout>` (recordings digits-entered, digits-timeout): one try each time, so that what comes before the next
 * one can be chosen. Digits that wait on the channel are taken first: it forgets none (switch_ivr_read).
 */
function awaitDigits(
  line: Line,
  { min, max, timeoutMs, interDigitMs = timeoutMs, terminators = '#' }: CollectOptions,
  sound: string,
  first: readonly Command[] = [],
): Promise<Event> {
  const words = [min, max, 1, timeoutMs, terminators === '' ? 'none' : terminators, sound]
  const argument = [...words, noInvalidPrompt, digitsVariable, anyDigits, interDigitMs].join(' ')
  return line.execute('play_and_get_digits', argument, [...first, line.set(terminatorVariable)])
}

/** Too few digits stand in the variable as well, of which `read_result` then says `failure`. */
function inputOf(complete: Event, { min, pattern }: CollectOptions): Omit<Collected, 'unplayed'> {
  const digits = complete.peek(`variable_${digitsVariable}`) ?? ''
  const terminator = complete.peek(`variable_${terminatorVariable}`)
  if (digits === '') return { digits, why: 'none', terminator }
  const isRight = digits.length >= min && (pattern === undefined || isWholly(pattern, digits))
  return { digits, why: isRight ? 'matched' : 'invalid', terminator }
}

function isWholly({ source, flags }: RegExp, digits: string): boolean {
  return new RegExp(`^(?:${source})$`, flags.replace(/[gy]/g, '')).test(digits)
}

/** @throws UnsafeArgument */
function check({
  min,
  max,
  tries = 1,
  timeoutMs,
  interDigitMs = timeoutMs,
  terminators = '',
}: CollectOptions): void {
  const isCount = (value: number, most: number) => Number.isInteger(value) && value >= 1 && value <= most
  if (!isCount(min, mostDigits) || !isCount(max, mostDigits) || min > max)
    throw new UnsafeArgument(`digits to collect: ${min} to ${max}`)
  if (!isCount(tries, 100)) throw new UnsafeArgument(`tries: ${tries}`)
  if (!isCount(timeoutMs, longestMs) || !isCount(interDigitMs, longestMs))
    throw new UnsafeArgument(`times for digits, in ms: ${timeoutMs} and ${interDigitMs}`)
  if (!/^[0-9A-D*#]{0,16}$/.test(terminators))
    throw new UnsafeArgument(`terminators: ${JSON.stringify(terminators)}`)
}
