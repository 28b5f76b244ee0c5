import fc from 'fast-check'

/** Names that FreeSWITCH may use, and those that mean something to JavaScript. */
export const headerName = fc.oneof(
  fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_.-]{0,20}$/),
  fc.constantFrom(
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'Unique-ID',
    'variable_sip_h_X-A',
  ),
)
/** What may stand in a value: any characters, those of the three formats in particular. */
export const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom('%', '4', '1', '"', '\\', ',', ':', '{', '\n', '\0', 'é', '漢', '💡', '|'),
  }),
)
