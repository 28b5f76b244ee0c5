import { Type, type Static } from 'typebox'
import { accountCodes, closed, optional, orNull, plainText, tenantId, text, type FieldsOf } from './fields.js'

const numberClasses = ['local', 'domestic', 'international', 'premium', 'emergency'] as const

/** As a dial string takes it (src/numbering/dial-string.ts). */
export const extensionNumber = text(
  '^[0-9A-Za-z][0-9A-Za-z*#._-]{0,31}$',
  '1 to 32 letters, digits, *, #, ., _ and -, a letter or digit first',
  { description: 'What is dialled to reach it within the tenant', examples: ['1000'] },
)

export const extensionFields = {
  auth_username: orNull(
    text(
      '^[^\\s\\x00-\\x1f\\x7f-\\x9f]{1,128}$',
      '1 to 128 characters without blanks and control characters',
    ),
    'The user name that its phone proves itself with. Null: its number',
  ),
  display_name: orNull(plainText(200, 'Name'), 'For people. Null: none'),
  toll_allow: orNull(
    Type.Array(Type.Enum([...numberClasses]), { maxItems: numberClasses.length, uniqueItems: true }),
    'The classes of number that it may call; emergency numbers always. Null: all of them',
  ),
  account_codes: accountCodes(
    20,
    "Channels with one of these as their accountcode are the extension's. No two of any tenant have the same",
  ),
}

export const extensionDraft = Type.Object(
  { tenant: tenantId, number: extensionNumber, ...optional(extensionFields) },
  {
    ...closed,
    examples: [
      { tenant: 'demo', number: '1002', display_name: 'Reception', toll_allow: ['local', 'domestic'] },
    ],
  },
)
/** Its number names it: under another one it would be another extension, to which nothing leads. */
export const extensionChange = Type.Object(optional(extensionFields), {
  ...closed,
  examples: [{ toll_allow: ['local', 'domestic', 'international'] }],
})

export type ExtensionDraft = Static<typeof extensionDraft>
export type ExtensionChange = Static<typeof extensionChange>

/** An extension as it is shown. */
export interface ExtensionRecord extends FieldsOf<typeof extensionFields> {
  readonly tenant: string
  readonly number: string
  /** Counts up with each change. */
  readonly version: number
}
