import type { Direction } from '../numbering/direction.js'

/**
 * What a tenant's calls meet, as data: menus, opening hours and the number plan, all of which lead to steps. Kept in
 * PostgreSQL as JSON of these shapes, checked when it is saved (src/routes/check.ts), in memory of every node.
 */

/** Where a call goes on: a route by its name, with its arguments. */
export interface Step {
  readonly route: string
  readonly arguments?: Readonly<Record<string, unknown>>
}

/** What a digit leads to: a step, another menu of the tenant, or this menu once more. */
export type Choice = Step | { readonly menu: string } | { readonly repeat: true }

/**
 * A sound: a file below the switch's sounds folder (`ivr/welcome.wav`), `tone_stream://…`, `silence_stream://500`,
 * `say:1234` (digit by digit) or `say:number:1234`.
 */
export type Sound = string

/** An automated attendant. Times in ms. */
export interface Menu {
  readonly id: string
  /** Counts up with each change: a call keeps the one that it began with. */
  readonly version: number
  readonly name: string
  /** Played one after the other before the caller must choose. */
  readonly prompt: readonly Sound[]
  /** By what is dialled: digits (`1`, `42`, `*`) or a pattern in which X is any digit, Z 1 to 9, N 2 to 9 (`9XX`). */
  readonly choices: Readonly<Record<string, Choice>>
  /** How long the first digit is awaited after the prompt, and each further one. */
  readonly timeoutMs: number
  readonly interDigitMs: number
  /** How often the caller may choose wrongly, or not at all, before `otherwise`. */
  readonly tries: number
  /** Digits cut the prompt short. */
  readonly bargeIn: boolean
  /** Numbers of the tenant's extensions lead to them. */
  readonly directDial: boolean
  readonly invalidPrompt: readonly Sound[]
  readonly noInputPrompt: readonly Sound[]
  /** After the last try; without it the call is hung up. */
  readonly otherwise?: Step
}

/** When a place is open, in the tenant's time zone or its own. */
export interface Hours {
  readonly id: string
  readonly version: number
  readonly name: string
  /** IANA; without it the tenant's. */
  readonly timeZone?: string
  /** By ISO weekday, 1 Monday to 7 Sunday: spans of `HH:MM` to `HH:MM` (`24:00` is midnight). */
  readonly week: Readonly<Partial<Record<'1' | '2' | '3' | '4' | '5' | '6' | '7', readonly Span[]>>>
  /** By date, `YYYY-MM-DD`, or `MM-DD` of each year: what holds on it instead; empty: closed. */
  readonly holidays: Readonly<Record<string, readonly Span[]>>
}

export type Span = readonly [from: string, to: string]

/** An entry of the number plan: which called numbers lead to which step. */
export interface PlanEntry {
  readonly id: number
  readonly tenantId: string
  /** Of calls in this direction alone. */
  readonly direction?: Direction
  /**
   * In normal form, or as it is dialled: exactly `number`; those that begin with it; those of its length from it to
   * `to`. The narrowest wins: exact, then range, then the longest prefix.
   */
  readonly kind: 'exact' | 'range' | 'prefix'
  readonly number: string
  readonly to?: string
  readonly step: Step
}

/** What something refers to; it cannot be deleted as long as it is. */
export type Reference =
  | { readonly kind: 'menu'; readonly id: string }
  | { readonly kind: 'hours'; readonly id: string }
  | { readonly kind: 'extension'; readonly id: string }

/** A tenant's menus and hours at one moment; immutable, so that a call which keeps it keeps its versions. */
export interface Flows {
  menu(id: string): Menu | undefined
  hours(id: string): Hours | undefined
}
