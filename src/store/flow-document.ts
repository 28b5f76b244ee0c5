import type { Hours, Menu } from './flow.js'
import type { SentHours, SentMenu } from './flow-schemas.js'

/** Menus and hours as documents, in files and over HTTP (flow-schemas.ts), and as the rest of the code has them. */

/** What a menu has where nothing is sent. */
const defaults = {
  timeoutMs: 5_000,
  interDigitMs: 2_000,
  tries: 3,
  bargeIn: true,
  directDial: false,
  invalidPrompt: [],
  noInputPrompt: [],
} as const

/** A menu as it was sent, with what was left out. */
export function completeMenu(id: string, sent: SentMenu): Omit<Menu, 'version'> {
  const { timeout_ms, inter_digit_ms, barge_in, direct_dial, invalid_prompt, no_input_prompt, ...rest } = sent
  return {
    ...defaults,
    ...rest,
    id,
    ...(timeout_ms !== undefined && { timeoutMs: timeout_ms }),
    ...(inter_digit_ms !== undefined && { interDigitMs: inter_digit_ms }),
    ...(barge_in !== undefined && { bargeIn: barge_in }),
    ...(direct_dial !== undefined && { directDial: direct_dial }),
    ...(invalid_prompt !== undefined && { invalidPrompt: invalid_prompt }),
    ...(no_input_prompt !== undefined && { noInputPrompt: no_input_prompt }),
  }
}

export type MenuDocument = Required<Omit<SentMenu, 'otherwise'>> & Pick<SentMenu, 'otherwise'>

/** As it would be sent. */
export function menuDocument(menu: Omit<Menu, 'id' | 'version'>): MenuDocument {
  const { timeoutMs, interDigitMs, bargeIn, directDial, invalidPrompt, noInputPrompt, ...rest } = menu
  return {
    ...(rest as Pick<MenuDocument, 'name' | 'prompt' | 'choices' | 'tries' | 'otherwise'>),
    timeout_ms: timeoutMs,
    inter_digit_ms: interDigitMs,
    barge_in: bargeIn,
    direct_dial: directDial,
    invalid_prompt: [...invalidPrompt],
    no_input_prompt: [...noInputPrompt],
  }
}

export function completeHours(id: string, { time_zone, ...rest }: SentHours): Omit<Hours, 'version'> {
  return { ...rest, id, ...(time_zone !== undefined && { timeZone: time_zone }) }
}

/** As they would be sent. */
export function hoursDocument({ timeZone, ...rest }: Omit<Hours, 'id' | 'version'>): SentHours {
  return {
    ...(rest as Pick<SentHours, 'name' | 'week' | 'holidays'>),
    ...(timeZone !== undefined && { time_zone: timeZone }),
  }
}
