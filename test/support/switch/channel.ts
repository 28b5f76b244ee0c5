import { Header, headerName, HeaderList, noHeaders, type HeaderRun } from './headers.js'
import { Profile, type ProfileFields } from './profile.js'
import { templates } from './templates.js'
import type { Variables } from './variables.js'

export type ChannelState =
  | 'CS_INIT'
  | 'CS_ROUTING'
  | 'CS_EXECUTE'
  | 'CS_EXCHANGE_MEDIA'
  | 'CS_CONSUME_MEDIA'
  | 'CS_HANGUP'
  | 'CS_REPORTING'
export type AnswerState = 'ringing' | 'answered' | 'hangup'
export type CallState = 'DOWN' | 'RINGING' | 'ACTIVE' | 'HANGUP'

const stateNumbers: Readonly<Record<ChannelState, number>> = {
  CS_INIT: 1,
  CS_ROUTING: 2,
  CS_EXECUTE: 4,
  CS_EXCHANGE_MEDIA: 5,
  CS_CONSUME_MEDIA: 7,
  CS_HANGUP: 10,
  CS_REPORTING: 11,
}

/** Variables that a request of the caller's phone renews, the one that acknowledges our answer first. */
const requestVariables = [
  'sip_from_tag',
  'sip_cseq',
  'sip_call_id',
  'sip_full_via',
  'sip_from_display',
  'sip_full_from',
]

const codecHeaders = ['Read', 'Write'].flatMap((side) => [
  new Header(`Channel-${side}-Codec-Name`, 'PCMU'),
  new Header(`Channel-${side}-Codec-Rate`, '8000'),
  new Header(`Channel-${side}-Codec-Bit-Rate`, '64000'),
])
const identityNames = {
  name: headerName('Channel-Name'),
  uuid: headerName('Unique-ID'),
  callUuid: headerName('Channel-Call-UUID'),
}

/** What distinguishes a leg that was dialled from one that came in. */
export interface DialledChannel {
  /** The leg that dialled it. */
  readonly callUuid: string
}

/** One leg as FreeSWITCH shows it: state, parties, times, variables. Knows nothing of sockets or of time. */
export class Channel {
  readonly uuid: string
  readonly name: string
  readonly variables: Variables
  profile: Profile
  /** What the channel's thread is in; events between two states show this one. */
  runningState: ChannelState = 'CS_EXECUTE'
  /** What it is on its way to. */
  state: ChannelState = 'CS_EXECUTE'
  callState: CallState
  answerState: AnswerState
  hangupCause: string | undefined
  /** What it was for before it was transferred, the latest last. */
  readonly earlierProfiles: ProfileFields[] = []
  /** A leg that was dialled has none before its answer. */
  hasCodecs: boolean
  /** In the words of `call_uuid`; of another one once two legs are connected that were not each other's. */
  callUuid: string
  readonly #identity: readonly Header[]
  #state: HeaderRun = noHeaders
  #stateKey = ''
  #otherLeg: HeaderRun = noHeaders

  constructor(profile: ProfileFields, variables: Variables, dialled?: DialledChannel) {
    this.uuid = profile.uuid
    this.callUuid = dialled?.callUuid ?? profile.uuid
    this.hasCodecs = dialled === undefined || profile.answered > 0
    this.name = profile.channelName
    this.profile = new Profile(profile)
    this.variables = variables
    this.answerState = profile.answered > 0 ? 'answered' : 'ringing'
    this.callState = profile.answered > 0 ? 'ACTIVE' : 'RINGING'
    this.#identity = [
      new Header(identityNames.name, this.name),
      new Header(identityNames.uuid, this.uuid),
      constant('Call-Direction', profile.direction),
      constant('Presence-Call-Direction', profile.direction),
      constant('Channel-HIT-Dialplan', String(dialled === undefined)),
      new Header(identityNames.callUuid, this.callUuid),
    ]
  }

  get isDown(): boolean {
    return this.answerState === 'hangup'
  }

  get isAnswered(): boolean {
    return this.profile.fields.answered > 0
  }

  /** A variable, or what FreeSWITCH finds under that name in the caller's profile. */
  variable(name: string): string | undefined {
    const { fields } = this.profile
    switch (name) {
      case 'caller_id_number':
        return fields.callerIdNumber
      case 'caller_id_name':
        return fields.callerIdName
      case 'destination_number':
        return fields.destination
      case 'ani':
        return fields.ani
      case 'rdnis':
        return fields.rdnis
      case 'context':
        return fields.context
      case 'chan_name':
        return fields.channelName
      default:
        return this.variables.get(name)
    }
  }

  answer(us: number): void {
    this.answerState = 'answered'
    this.profile.update({ answered: us })
  }

  /** The called side's tag, which the caller's phone has got with our first answer to its call. */
  tag(): string {
    const tag = this.variables.get('sip_to_tag') ?? this.uuid.slice(0, 13)
    this.variables.set('sip_to_tag', tag)
    return tag
  }

  /** The caller's phone has acknowledged the answer: what its request carried replaces what INVITE did. */
  acknowledge(): void {
    const { variables } = this
    const tag = this.tag()
    variables.set('sip_cseq', '1')
    variables.renew(...requestVariables)
    variables.set('sip_full_to', `${variables.get('sip_full_to') ?? ''};tag=${tag}`)
  }

  addAnswerVariables(isBridged: boolean): void {
    const { answer, bridgedAnswer } = templates()
    this.variables.share(isBridged ? bridgedAnswer : answer)
  }

  /** From `Channel-State` to the codecs. */
  stateHeaders(): HeaderRun {
    const { runningState, callState, state, answerState, hangupCause, hasCodecs } = this
    const key = `${runningState} ${callState} ${state} ${answerState} ${hasCodecs}`
    if (key !== this.#stateKey) {
      this.#stateKey = key
      this.#state = new HeaderList([
        constant('Channel-State', runningState),
        constant('Channel-Call-State', callState),
        constant('Channel-State-Number', stateNumbers[state].toString()),
        ...this.#identity,
        constant('Answer-State', answerState),
        ...(hangupCause === undefined ? [] : [constant('Hangup-Cause', hangupCause)]),
        ...(hasCodecs ? codecHeaders : []),
      ])
    }
    return this.#state
  }

  /** The `Other-Type` and `Other-Leg-*` headers, if there is or was another leg. */
  otherLegHeaders(): HeaderRun {
    return this.#otherLeg
  }

  /** @param profile of the leg that this one talks to, as it is now: of its end this one's events never tell */
  showOtherLeg(profile: Profile | undefined, type: 'originator' | 'originatee' = 'originatee'): void {
    this.#otherLeg =
      profile === undefined
        ? noHeaders
        : new HeaderList([constant('Other-Type', type), ...profile.headers('Other-Leg')])
  }
}

const constants = new Map<string, Map<string, Header>>()

/** One of the few states and causes that all channels share. */
function constant(name: string, value: string): Header {
  let headers = constants.get(name)
  if (headers === undefined) constants.set(name, (headers = new Map<string, Header>()))
  let header = headers.get(value)
  if (header === undefined) headers.set(value, (header = new Header(name, value)))
  return header
}
