import type { Channel } from './channel.js'
import { q850Of } from './causes.js'
import { stampOf } from './events.js'
import { templates } from './templates.js'

/** An application that a channel began. */
export interface ExecutedApplication {
  readonly name: string
  readonly argument: string
  /** µs */
  readonly at: number
}

/** What else a leg has been when it ends. */
export interface LegHistory {
  readonly digits: string
  readonly applications: readonly ExecutedApplication[]
}

/** The variables that only CHANNEL_HANGUP_COMPLETE carries: causes, times, durations, audio statistics. */
export function setFinalVariables(channel: Channel, history: LegHistory): void {
  const { variables } = channel
  const { fields } = channel.profile
  const cause = channel.hangupCause ?? ''
  variables.setAll({
    hangup_cause: cause,
    hangup_cause_q850: q850Of(cause).toString(),
    digits_dialed: history.digits === '' ? 'none' : history.digits,
  })
  for (const [name, us] of [
    ['start', fields.created],
    ['profile_start', fields.profileCreated],
    ['answer', fields.answered],
    ['bridge', fields.bridged],
    ['progress', fields.progress],
    ['end', fields.hungUp],
  ] as const)
    if (us > 0) variables.set(`${name}_stamp`, stampOf(us))
  setEpochs('start', fields.created)
  setEpochs('profile_start', fields.profileCreated)
  setEpochs('answer', fields.answered)
  setEpochs('bridge', fields.bridged)
  setEpochs('last_hold', 0)
  variables.setAll({ hold_accum_seconds: '0', hold_accum_usec: '0', hold_accum_ms: '0' })
  setEpochs('resurrect', 0)
  setEpochs('progress', fields.progress)
  setEpochs('progress_media', 0)
  setEpochs('end', fields.hungUp)
  const last = history.applications.at(-1)
  variables.setAll({
    last_app: last?.name,
    last_arg: last?.argument,
    caller_id: `"${fields.callerIdName}" <${fields.callerIdNumber}>`,
  })
  setDurations(channel)
  if (channel.isAnswered) variables.share(templates().audioStatistics)

  function setEpochs(name: string, us: number): void {
    variables.set(`${name}_epoch`, secondOf(us).toString())
    variables.set(`${name}_uepoch`, us.toString())
  }
}

function setDurations(channel: Channel): void {
  const { created, answered, progress, bridged, hungUp } = channel.profile.fields
  const spans = {
    duration: { from: created, to: hungUp },
    bill: { from: answered, to: hungUp },
    progress: { from: created, to: progress },
    answer: { from: created, to: answered },
    wait: { from: created, to: bridged },
    progress_media: { from: created, to: 0 },
    flow_bill: { from: answered > 0 ? created : 0, to: hungUp },
  }
  // In seconds FreeSWITCH subtracts floored seconds, so they are wrong by up to one.
  set(
    (name) => (name === 'duration' ? name : `${name}sec`),
    (from, to) => secondOf(to) - secondOf(from),
  )
  set(
    (name) => (name === 'duration' ? 'mduration' : `${name}msec`),
    (from, to) => Math.round((to - from) / 1000),
  )
  set(
    (name) => (name === 'duration' ? 'uduration' : `${name}usec`),
    (from, to) => to - from,
  )

  function set(nameOf: (span: string) => string, lengthOf: (from: number, to: number) => number): void {
    for (const [span, { from, to }] of Object.entries(spans))
      channel.variables.set(nameOf(span), (from > 0 && to > 0 ? lengthOf(from, to) : 0).toString())
  }
}

function secondOf(us: number): number {
  return Math.floor(us / 1e6)
}
