import fc from 'fast-check'
import t from 'tap'
import {
  extensionDialString,
  gatewayDialString,
  isDomain,
  listenerDialString,
  type DialOptions,
} from '../src/numbering/dial-string.js'
import { UnsafeArgument } from '../src/esl/errors.js'
import { parseDialString, type DialledLeg } from './support/switch/dial-string.js'

const options: DialOptions = { callerNumber: '0912406496', ringSeconds: 60, maxSeconds: 14_400 }

/** What a switch would make of it. */
function legs(dialString: string): DialledLeg[] {
  const { groups } = parseDialString(dialString)
  return groups.flat()
}

function variables(dialString: string): Record<string, string> {
  return Object.fromEntries(legs(dialString)[0]?.variables ?? [])
}

t.test('a gateway leg presents the caller, rings for a while and is timed from its own answer', async (t) => {
  t.equal(
    gatewayDialString('carrier1', '84901234567', options),
    '{originate_timeout=60,origination_caller_id_number=0912406496}' +
      "[execute_on_answer='sched_hangup +14400 ALLOTTED_TIMEOUT']sofia/gateway/carrier1/84901234567",
  )
})

t.test("an extension is rung in its domain, or in the switch's own", async (t) => {
  t.match(extensionDialString(['1001'], 'pbx.example.com', options), /\]user\/1001@pbx\.example\.com$/)
  t.match(extensionDialString(['1001'], undefined, options), /\]user\/1001$/)
})

t.test(
  'a phone that listens in is one word, has nothing of a call, and no digit of it changes anything',
  async (t) => {
    const uuid = '9c1a3a0e-6c51-4b7a-9d5e-0d6b1f2f7f10'
    const listener = {
      uuid,
      callerNumber: '0912406496',
      ringSeconds: 30,
      isHeardBy: { leg: true, partner: false },
    }
    const built = listenerDialString('1001', 'pbx.example.com', listener)
    t.notMatch(built, /[\s'"$`\\]/)
    t.equal(legs(built)[0]?.dialString, 'user/1001@pbx.example.com')
    t.strictSame(variables(built), {
      origination_uuid: uuid,
      originate_timeout: '30',
      origination_caller_id_number: '0912406496',
      eavesdrop_enable_dtmf: 'false',
      eavesdrop_bridge_aleg: 'true',
      eavesdrop_bridge_bleg: 'true',
      // Whom the leg hears is mixed into what is written to it: mod_dptools' ED_MUX_WRITE, of its B leg.
      eavesdrop_whisper_aleg: 'false',
      eavesdrop_whisper_bleg: 'true',
    })
    t.notOk(
      'origination_caller_id_number' in
        variables(listenerDialString('1001', undefined, { ...listener, callerNumber: '09 12,x=y' })),
    )
    for (const extension of ['10 01', '1001,1002', '1001|1002', '1001)', '{x=y}1001', ''])
      t.throws(() => listenerDialString(extension, undefined, listener), UnsafeArgument, extension)
    t.throws(() => listenerDialString('1001', 'a]b', listener), UnsafeArgument)
    t.throws(() => listenerDialString('1001', undefined, { ...listener, uuid: 'x,y=z' }), UnsafeArgument)
  },
)

t.test('extensions of a group ring at once, each leg with its own state and timer', async (t) => {
  const built = extensionDialString(['1001', '1002', 'anna.b'], 'pbx.example.com', {
    ...options,
    legState: 'e30',
  })
  const { groups } = parseDialString(built)
  t.equal(groups.length, 1, 'one attempt')
  t.strictSame(
    groups[0]?.map(({ dialString }) => dialString),
    ['user/1001@pbx.example.com', 'user/1002@pbx.example.com', 'user/anna.b@pbx.example.com'],
  )
  for (const leg of groups[0] ?? []) {
    t.equal(leg.variables.get('linger_leg'), 'e30')
    t.equal(leg.variables.get('execute_on_answer'), 'sched_hangup +14400 ALLOTTED_TIMEOUT')
  }
  const many = (count: number) => Array.from({ length: count }, (_, index) => String(1000 + index))
  t.equal(legs(extensionDialString(many(128), undefined, options)).length, 128)
  t.throws(
    () => extensionDialString(many(129), undefined, options),
    UnsafeArgument,
    'more than the switch dials',
  )
  t.throws(() => extensionDialString([], undefined, options), UnsafeArgument)
})

t.test("a caller who has answered already waits for the far end's own answer", async (t) => {
  t.match(
    gatewayDialString('carrier1', '84901234567', { ...options, ignoreEarlyMedia: true }),
    'ignore_early_media=true',
  )
})

t.test('a gateway has its own codecs, its own patience and its own music on hold', async (t) => {
  const built = gatewayDialString('carrier1', '+84901234567', {
    ...options,
    codecs: ['PCMA', 'opus@48000h@20i@2c', 'AMR-WB'],
    progressSeconds: 8,
    holdMusic: 'tone_stream://%(200,0,500);loops=-1',
  })
  t.match(legs(built), [{ dialString: 'sofia/gateway/carrier1/+84901234567', number: '+84901234567' }])
  t.match(variables(built), {
    absolute_codec_string: '^^:PCMA:opus@48000h@20i@2c:AMR-WB',
    progress_timeout: '8',
    hold_music: 'tone_stream://%(200,0,500);loops=-1',
  })
  t.equal(
    variables(gatewayDialString('carrier1', '84901234567', { ...options, codecs: ['PCMA'] }))
      .absolute_codec_string,
    'PCMA',
  )
  for (const codec of ['', 'PCMA,PCMU', 'PCMA:PCMU', 'a b', 'x@', 'a_b', "a'", '$x', '=', '^^:a'])
    t.throws(() => gatewayDialString('c', '8490', { ...options, codecs: [codec] }), UnsafeArgument, codec)
  for (const holdMusic of ['', '../x.wav', 'shell_stream://x', "a'b", 'http://x/y', 'a b', 'a\nb', '${x}'])
    t.throws(() => gatewayDialString('c', '8490', { ...options, holdMusic }), UnsafeArgument, holdMusic)
  for (const holdMusic of ['local_stream://moh', '/sounds/moh.wav', 'silence'])
    t.equal(variables(gatewayDialString('c', '8490', { ...options, holdMusic })).hold_music, holdMusic)
})

t.test('a name is presented beside the number; who is not to be seen is named nowhere', async (t) => {
  t.match(
    variables(
      gatewayDialString('carrier1', '84901234567', {
        ...options,
        callerName: 'Công ty ACME',
        callerIdHeader: 'pid',
      }),
    ),
    {
      origination_caller_id_number: '0912406496',
      origination_caller_id_name: 'Công ty ACME',
      sip_cid_type: 'pid',
      origination_privacy: undefined,
    },
  )
  t.match(
    variables(gatewayDialString('c', '8490', { ...options, callerNumber: 'anonymous', isAnonymous: true })),
    {
      origination_caller_id_number: 'anonymous',
      origination_privacy: 'screen+hide_name+hide_number',
    },
  )
  for (const callerName of ['', ' a', "O'Neill", 'a,b', 'a"b', 'a\nb', '<a>', '${x}', 'a'.repeat(65)])
    t.notMatch(gatewayDialString('c', '8490', { ...options, callerName }), 'caller_id_name', callerName)
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

const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom(...Array.from('{}[]<>,|:;\'"$ \r\n\0\x01\x02\\/@^=+*#.-_09az')) }),
)

/**
 * Mostly what may stand in a dial string, so that most are built; now and then with one character more, and now and
 * then anything at all.
 */
function mostly(pattern: RegExp): fc.Arbitrary<string> {
  const good = fc.stringMatching(pattern)
  const spoilt = fc
    .tuple(good, fc.nat(), fc.constantFrom(...Array.from('{}[]<>,|:;\'"$ \r\n\0\x02\\/@^=+*#._-é')))
    .map(([text, at, character]) => {
      const place = at % (text.length + 1)
      return text.slice(0, place) + character + text.slice(place)
    })
  return fc.oneof(
    { weight: 30, arbitrary: good },
    { weight: 1, arbitrary: spoilt },
    { weight: 1, arbitrary: hostile },
  )
}

const anyGateway = mostly(/^[0-9A-Za-z._-]{1,64}$/)
const anyNumber = mostly(/^\+?[0-9*#]{0,16}[0-9]{2,36}$/)
const anyExtension = mostly(/^[A-Za-z0-9][A-Za-z0-9_.*#+-]{0,62}$/)
const anyDomain = mostly(/^[a-z0-9]([a-z0-9.-]{0,30}[a-z0-9])?$/)
const timer = ['execute_on_answer', 'sched_hangup +14400 ALLOTTED_TIMEOUT'] as const

/** Optional ones as they would stand on a channel. */
const anyOptions = fc.record({
  callerNumber: fc.oneof(mostly(/^\+?[0-9A-Za-z_.*#-]{1,20}$/), hostile),
  callerName: fc.option(fc.oneof(mostly(/^[\p{L}0-9._-]{1,8}( [\p{L}0-9._-]{1,8}){0,3}$/u), hostile), {
    nil: undefined,
  }),
  isAnonymous: fc.boolean(),
  callerIdHeader: fc.constantFrom('rpid', 'pid', 'none', undefined),
  codecs: fc.array(mostly(/^[A-Za-z0-9][A-Za-z0-9.-]{0,10}(@[0-9]{1,5}[hibc]){0,2}$/), { maxLength: 3 }),
  holdMusic: fc.option(
    fc.oneof(
      mostly(/^\/?[a-z0-9_][a-z0-9_/-]{0,30}$/),
      mostly(/^tone_stream:\/\/[a-z0-9%(),;=*+_-]{1,30}$/),
      mostly(/^local_stream:\/\/[a-z0-9_/,-]{1,20}$/),
    ),
    { nil: undefined },
  ),
  progressSeconds: fc.option(
    fc.oneof(
      { weight: 20, arbitrary: fc.integer({ min: 1, max: 30 }) },
      { arbitrary: fc.integer(), weight: 1 },
    ),
    { nil: undefined },
  ),
  legState: fc.option(mostly(/^[A-Za-z0-9_-]{1,80}$/), { nil: undefined }),
})
type AnyOptions = typeof anyOptions extends fc.Arbitrary<infer T> ? T : never

function optionsFrom(any: AnyOptions): DialOptions {
  const given = Object.fromEntries(Object.entries(any).filter(([, value]) => value !== undefined))
  return { ...options, ...given }
}

/** What the channel of a leg has, when it has what was meant and nothing else. */
function isMeant(leg: DialledLeg, any: AnyOptions): boolean {
  const { callerNumber, callerName, codecs } = any
  const meant = new Map<string, string | undefined>([
    timer,
    ['originate_timeout', '60'],
    ['progress_timeout', any.progressSeconds?.toString()],
    ['origination_privacy', any.isAnonymous ? 'screen+hide_name+hide_number' : undefined],
    ['sip_cid_type', any.callerIdHeader],
    ['absolute_codec_string', codecs.length > 1 ? `^^:${codecs.join(':')}` : codecs[0]],
    ['hold_music', any.holdMusic],
    ['linger_leg', any.legState],
  ])
  const left = new Map(leg.variables)
  // What cannot be presented is left out, and only that.
  for (const [name, value] of [
    ['origination_caller_id_number', callerNumber],
    ['origination_caller_id_name', callerName],
  ] as const) {
    if (left.has(name) && left.get(name) !== value) return false
    left.delete(name)
  }
  for (const [name, value] of meant) {
    if (left.get(name) !== value) return false
    left.delete(name)
  }
  return left.size === 0
}

const runs = 2000

t.test('whatever a caller dials or is called: refused, or a string that means just that', async (t) => {
  let built = 0
  fc.assert(
    fc.property(anyGateway, anyNumber, anyOptions, (gateway, number, any) => {
      let text: string
      try {
        text = gatewayDialString(gateway, number, optionsFrom(any))
      } catch (error) {
        return error instanceof UnsafeArgument
      }
      built++
      const [leg, ...others] = legs(text)
      return (
        others.length === 0 &&
        leg?.dialString === `sofia/gateway/${gateway}/${number}` &&
        leg.gateway === gateway &&
        leg.number === number &&
        isMeant(leg, any)
      )
    }),
    { numRuns: runs },
  )
  // In a third of the runs one part at least is spoilt.
  t.ok(built > runs / 2 && built < runs, `${built} of ${runs} were built`)
})

t.test(
  'whatever extensions or their domain are named: refused, or a string that means just that',
  async (t) => {
    let built = 0
    fc.assert(
      fc.property(
        fc.array(anyExtension, { minLength: 1, maxLength: 4 }),
        fc.option(anyDomain, { nil: undefined }),
        anyOptions,
        (extensions, domain, any) => {
          let text: string
          try {
            text = extensionDialString(extensions, domain, optionsFrom(any))
          } catch (error) {
            return error instanceof UnsafeArgument
          }
          built++
          const { groups } = parseDialString(text)
          const at = domain === undefined ? '' : `@${domain}`
          return (
            groups.length === 1 &&
            groups[0]?.map(({ dialString }) => dialString).join() ===
              extensions.map((extension) => `user/${extension}${at}`).join() &&
            (domain === undefined || isDomain(domain)) &&
            groups[0].every((leg) => isMeant(leg, any))
          )
        },
      ),
      { numRuns: runs },
    )
    t.ok(built > runs / 2 && built < runs, `${built} of ${runs} were built`)
  },
)

t.test('a time that is no time is refused', async (t) => {
  for (const seconds of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    for (const time of ['maxSeconds', 'ringSeconds', 'progressSeconds'] as const)
      t.throws(
        () => gatewayDialString('carrier1', '84901234567', { ...options, [time]: seconds }),
        UnsafeArgument,
      )
  }
})
