import fc from 'fast-check'
import t from 'tap'
import {
  extensionDialString,
  gatewayDialString,
  isDomain,
  type DialOptions,
} from '../src/numbering/dial-string.js'
import { UnsafeArgument } from '../src/esl/errors.js'

const options: DialOptions = { callerNumber: '0912406496', ringSeconds: 60, maxSeconds: 14_400 }

t.test('a gateway leg presents the caller, rings for a while and is timed from its own answer', async (t) => {
  t.equal(
    gatewayDialString('carrier1', '84901234567', options),
    '{originate_timeout=60,origination_caller_id_number=0912406496}' +
      "[execute_on_answer='sched_hangup +14400 ALLOTTED_TIMEOUT']sofia/gateway/carrier1/84901234567",
  )
})

t.test("an extension is rung in its domain, or in the switch's own", async (t) => {
  t.match(extensionDialString('1001', 'pbx.example.com', options), /\]user\/1001@pbx\.example\.com$/)
  t.match(extensionDialString('1001', undefined, options), /\]user\/1001$/)
})

t.test("a caller who has answered already waits for the far end's own answer", async (t) => {
  t.match(
    gatewayDialString('carrier1', '84901234567', { ...options, ignoreEarlyMedia: true }),
    'ignore_early_media=true',
  )
})

t.test('a caller number that is no number is left to the switch, never put into the string', async (t) => {
  for (const callerNumber of [
    '',
    'a b',
    "1'2",
    '1,origination_uuid=x',
    '1}[x=y]',
    '${system(id)}',
    '1\n2',
    '1|2',
    '1:2',
  ]) {
    t.notMatch(gatewayDialString('carrier1', '84901234567', { ...options, callerNumber }), 'caller_id')
  }
})

/** How FreeSWITCH takes a dial string apart, as far as ours go. */
function parse(text: string): { globals: string; timer: string; endpoint: string } | undefined {
  const [, globals, timer, endpoint] =
    /^\{([^{}[\]]*)\}\[([^{}[\]]*)\]([^{}[\]<>,|:;'"$\s]+)$/.exec(text) ?? []
  return globals === undefined || timer === undefined || endpoint === undefined
    ? undefined
    : { globals, timer, endpoint }
}

const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom(...Array.from('{}[]<>,|:;\'"$ \r\n\0\\/@^=+*#.-_09az')) }),
  fc.stringMatching(/^\+?[0-9]{1,40}$/),
)

t.test('whatever a caller dials or is called: refused, or a string that means just that', async () => {
  fc.assert(
    fc.property(anyText, anyText, anyText, (gateway, number, callerNumber) => {
      let built: string
      try {
        built = gatewayDialString(gateway, number, { ...options, callerNumber })
      } catch (error) {
        return error instanceof UnsafeArgument
      }
      const parsed = parse(built)
      const presented = `originate_timeout=60,origination_caller_id_number=${callerNumber}`
      return (
        parsed?.endpoint === `sofia/gateway/${gateway}/${number}` &&
        parsed.timer === "execute_on_answer='sched_hangup +14400 ALLOTTED_TIMEOUT'" &&
        (parsed.globals === 'originate_timeout=60' ||
          (parsed.globals === presented && /^[+0-9A-Za-z_.*#-]+$/.test(callerNumber)))
      )
    }),
    { numRuns: 2000 },
  )
})

t.test(
  'whatever an extension or its domain is named: refused, or a string that means just that',
  async () => {
    fc.assert(
      fc.property(anyText, anyText, (extension, domain) => {
        let built: string
        try {
          built = extensionDialString(extension, domain, options)
        } catch (error) {
          return error instanceof UnsafeArgument
        }
        return parse(built)?.endpoint === `user/${extension}@${domain}` && isDomain(domain)
      }),
      { numRuns: 2000 },
    )
  },
)

t.test('a time that is no time is refused', async (t) => {
  for (const seconds of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.throws(
      () => gatewayDialString('carrier1', '84901234567', { ...options, maxSeconds: seconds }),
      UnsafeArgument,
    )
    t.throws(
      () => gatewayDialString('carrier1', '84901234567', { ...options, ringSeconds: seconds }),
      UnsafeArgument,
    )
  }
})
