import { Type, type Static } from 'typebox'
import { extensionNumber } from './extension-schemas.js'
import { closed, orNull, tenantId, text } from './fields.js'

export const mostNumbers = 1000

const number = text(
  '^\\+?[0-9A-Za-z*#._-]{1,60}$',
  '1 to 60 digits, letters, *, #, ., _ and -, with + before them or without',
  {
    description: "As it is dialled in the tenant's country, or in normal form; kept in normal form",
    examples: ['02412345678'],
  },
)
const extension = orNull(extensionNumber, 'The extension of the tenant that it rings. Null: none of them')

export const numberDraft = Type.Object(
  {
    tenant: tenantId,
    number: Type.Optional(number),
    numbers: Type.Optional(
      Type.Array(number, { minItems: 1, maxItems: mostNumbers, description: 'Several at once: all or none' }),
    ),
    extension: Type.Optional(extension),
  },
  {
    ...closed,
    oneOf: [{ required: ['number'] }, { required: ['numbers'] }],
    examples: [
      { tenant: 'demo', number: '02412345678', extension: '1000' },
      { tenant: 'demo', numbers: ['02412345679', '+842412345680'] },
    ],
  },
)
/** Of another tenant it leads to that one's extension, or to none: both are to be said. */
export const numberChange = Type.Object(
  { tenant: Type.Optional(tenantId), extension: Type.Optional(extension) },
  { ...closed, examples: [{ extension: '1001' }] },
)

export type NumberChange = Static<typeof numberChange>

/** A DID as it is shown. */
export interface NumberRecord {
  /** Normal form */
  readonly number: string
  readonly tenant: string
  readonly extension: string | null
  /** Counts up with each change. */
  readonly version: number
}
