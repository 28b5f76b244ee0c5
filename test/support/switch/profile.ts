import { Header, headerName, HeaderList, type HeaderName, type HeaderRun } from './headers.js'

/** A leg's parties and times: the `Caller-*`, `Channel-*` and `Other-Leg-*` headers. Times in µs, 0 if not yet. */
export interface ProfileFields {
  direction: 'inbound' | 'outbound'
  logicalDirection: 'inbound' | 'outbound'
  username: string
  callerIdName: string
  callerIdNumber: string
  origCallerIdName: string
  origCallerIdNumber: string
  calleeIdName?: string
  calleeIdNumber?: string
  ani: string
  destination: string
  uuid: string
  transferSource?: string
  context: string
  rdnis?: string
  channelName: string
  /** How many profiles the leg has had. */
  index: number
  profileCreated: number
  created: number
  answered: number
  progress: number
  hungUp: number
  bridged: number
}

const constants: ReadonlyMap<string, string> = new Map([
  ['Dialplan', 'XML'],
  ['Network-Addr', '127.0.0.1'],
  ['Source', 'mod_sofia'],
  ['Channel-Progress-Media-Time', '0'],
  ['Channel-Transfer-Time', '0'],
  ['Channel-Resurrect-Time', '0'],
  ['Channel-Last-Hold', '0'],
  ['Channel-Hold-Accum', '0'],
  ['Screen-Bit', 'true'],
  ['Privacy-Hide-Name', 'false'],
  ['Privacy-Hide-Number', 'false'],
])

/** In FreeSWITCH's order; without a field: constant. */
const layout: readonly (readonly [suffix: string, field?: keyof ProfileFields])[] = [
  ['Direction', 'direction'],
  ['Logical-Direction', 'logicalDirection'],
  ['Username', 'username'],
  ['Dialplan'],
  ['Caller-ID-Name', 'callerIdName'],
  ['Caller-ID-Number', 'callerIdNumber'],
  ['Orig-Caller-ID-Name', 'origCallerIdName'],
  ['Orig-Caller-ID-Number', 'origCallerIdNumber'],
  ['Callee-ID-Name', 'calleeIdName'],
  ['Callee-ID-Number', 'calleeIdNumber'],
  ['Network-Addr'],
  ['ANI', 'ani'],
  ['Destination-Number', 'destination'],
  ['Unique-ID', 'uuid'],
  ['Source'],
  ['Transfer-Source', 'transferSource'],
  ['Context', 'context'],
  ['RDNIS', 'rdnis'],
  ['Channel-Name', 'channelName'],
  ['Profile-Index', 'index'],
  ['Profile-Created-Time', 'profileCreated'],
  ['Channel-Created-Time', 'created'],
  ['Channel-Answered-Time', 'answered'],
  ['Channel-Progress-Time', 'progress'],
  ['Channel-Progress-Media-Time'],
  ['Channel-Hangup-Time', 'hungUp'],
  ['Channel-Transfer-Time'],
  ['Channel-Resurrect-Time'],
  ['Channel-Bridged-Time', 'bridged'],
  ['Channel-Last-Hold'],
  ['Channel-Hold-Accum'],
  ['Screen-Bit'],
  ['Privacy-Hide-Name'],
  ['Privacy-Hide-Number'],
]

/** One line of the layout under one prefix. */
interface Place {
  readonly name: HeaderName
  readonly field: keyof ProfileFields | undefined
  /** What it shows without a field, or when the field is 0. */
  readonly standing: Header
}

const places = new Map<string, readonly Place[]>()

function placesOf(prefix: string): readonly Place[] {
  let list = places.get(prefix)
  if (list === undefined) {
    // FreeSWITCH does not show that of the other leg.
    const shown = layout.filter(([, field]) => prefix !== 'Other-Leg' || field !== 'index')
    list = shown.map(([suffix, field]) => {
      const name = headerName(`${prefix}-${suffix}`)
      return { name, field, standing: new Header(name, constants.get(suffix) ?? '0') }
    })
    places.set(prefix, list)
  }
  return list
}

/** What a profile showed under one prefix, place for place. */
interface Shown {
  readonly values: (string | number | undefined)[]
  readonly headers: (Header | undefined)[]
  list: HeaderList | undefined
}

export class Profile {
  readonly #fields: ProfileFields
  readonly #shown = new Map<string, Shown>()

  constructor(fields: ProfileFields) {
    this.#fields = { ...fields }
  }

  get fields(): Readonly<ProfileFields> {
    return this.#fields
  }

  update(fields: Partial<ProfileFields>): void {
    Object.assign(this.#fields, fields)
    for (const shown of this.#shown.values()) shown.list = undefined
  }

  /** @param prefix `Caller`, `Channel` or `Other-Leg` */
  headers(prefix: string): HeaderRun {
    let shown = this.#shown.get(prefix)
    if (shown === undefined) this.#shown.set(prefix, (shown = { values: [], headers: [], list: undefined }))
    return (shown.list ??= this.#list(placesOf(prefix), shown))
  }

  #list(places: readonly Place[], { values, headers }: Shown): HeaderList {
    for (const [index, { name, field, standing }] of places.entries()) {
      const value = field === undefined ? 0 : this.#fields[field]
      if (values[index] === value && headers.length > index) continue
      values[index] = value
      if (value === 0) headers[index] = standing
      else headers[index] = value === undefined ? undefined : new Header(name, value.toString())
    }
    return new HeaderList(headers.filter((header) => header !== undefined))
  }
}
