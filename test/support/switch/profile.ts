import { Header, HeaderList, type HeaderRun } from './headers.js'

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
  /** How many profiles the leg has had; the other leg's is not shown. */
  index?: number
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

const constantHeaders = new Map<string, Header>()

function constantHeader(name: string, value: string): Header {
  let header = constantHeaders.get(name)
  if (header === undefined) constantHeaders.set(name, (header = new Header(name, value)))
  return header
}

export class Profile {
  readonly #fields: ProfileFields
  readonly #headers = new Map<string, HeaderList>()
  #isOutdated = false

  constructor(fields: ProfileFields) {
    this.#fields = { ...fields }
  }

  get fields(): Readonly<ProfileFields> {
    return this.#fields
  }

  update(fields: Partial<ProfileFields>): void {
    Object.assign(this.#fields, fields)
    this.#isOutdated = true
  }

  /** @param prefix `Caller`, `Channel` or `Other-Leg` */
  headers(prefix: string): HeaderRun {
    let list = this.#headers.get(prefix)
    if (list === undefined || this.#isOutdated) {
      this.#isOutdated = false
      this.#headers.clear()
      this.#headers.set(prefix, (list = this.#build(prefix, list?.headers ?? [])))
    }
    return list
  }

  /** @param previous what it was before: headers that have not changed are kept */
  #build(prefix: string, previous: readonly Header[]): HeaderList {
    const headers: Header[] = []
    for (const [suffix, field] of layout) {
      const name = `${prefix}-${suffix}`
      const value = field === undefined ? constants.get(suffix) : this.#fields[field]
      if (value === undefined) continue
      const text = value.toString()
      const isConstant = field === undefined || value === 0
      headers.push(
        isConstant
          ? constantHeader(name, text)
          : (previous.find((header) => header.name === name && header.value === text) ??
              new Header(name, text)),
      )
    }
    return new HeaderList(headers)
  }
}
