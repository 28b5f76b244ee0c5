import type { HeaderValue } from './headers.js'
import { readPosted } from './recordings.js'
import { compile, type ChannelTemplate } from './templates.js'

/** What differs from one called leg to the next in the recorded variables. */
export interface DialledLegSlots {
  readonly uuid: string
  /** The uuid of the leg that dialled it. */
  readonly originator: string
  /** What is presented to it. */
  readonly caller: string
  readonly number: string
  readonly gateway: string
  readonly sessionId: string
}

/** A called leg's variables, by how far it has come; each has those before it. */
export interface CalledTemplates {
  readonly dialled: ChannelTemplate<DialledLegSlots>
  /** Its phone or gateway has said something. */
  readonly responded: ChannelTemplate<DialledLegSlots>
  readonly answered: ChannelTemplate<DialledLegSlots>
}

/** mod_json_cdr's document as recorded. */
export interface RecordedDocument {
  readonly channel_data: Readonly<Record<string, string>>
  readonly callStats: unknown
  readonly variables: Readonly<Record<string, string>>
  readonly app_log?: unknown
  readonly callflow: readonly Readonly<Record<string, unknown>>[]
}

let loaded: CalledTemplates | undefined

export function calledTemplates(): CalledTemplates {
  return (loaded ??= load())
}

/** @param name a recording in test/recordings/http without `cdr-` and `.txt` */
export function recordedDocument(name: string): RecordedDocument {
  return JSON.parse(readPosted(`cdr-${name}`).body) as RecordedDocument
}

function load(): CalledTemplates {
  const cancelled = recordedDocument('cancelled-called-leg')
  const answered = recordedDocument('after-takeover-called-leg')
  return {
    dialled: template(cancelled, 'direction', 'sofia_profile_url'),
    responded: template(cancelled, 'sip_local_network_addr', 'sip_call_id'),
    answered: template(answered, 'audio_media_flow', 'endpoint_disposition'),
  }
}

/** The variables of a document from one to another, in its order, which is that of their setting. */
function template(document: RecordedDocument, from: string, to: string): ChannelTemplate<DialledLegSlots> {
  const { variables } = document
  const names = Object.keys(variables)
  const wanted = names.slice(names.indexOf(from), names.indexOf(to) + 1)
  const text = (name: string): string => variables[name] ?? ''
  return compile(
    wanted.map((name): [string, HeaderValue] => [name, text(name)]),
    {
      uuid: text('uuid'),
      originator: text('originator'),
      caller: text('sip_from_display'),
      number: text('sip_to_user'),
      gateway: text('sip_gateway_name'),
      sessionId: { wholeOf: 'session_id' },
    },
  )
}
