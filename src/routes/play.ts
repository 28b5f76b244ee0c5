import { Type, type Static } from 'typebox'
import type { Route } from './route.js'
import { hangupCause, sounds, stepSchema } from './schemas.js'

const args = Type.Object(
  {
    sounds,
    early: Type.Optional(
      Type.Boolean({
        description: 'Play it before the call is answered, for nothing, where its carrier lets that through',
      }),
    ),
    then: Type.Optional(stepSchema),
    cause: Type.Optional(hangupCause),
  },
  { additionalProperties: false },
)

/** An announcement, and what comes after it. */
export const play: Route<Static<typeof args>> = {
  name: 'play',
  summary: 'Plays an announcement, then goes on or hangs up',
  arguments: args,
  sounds: ({ sounds }) => sounds,
  reaches: () => undefined,
  steps: ({ then }) => (then === undefined ? [] : [then]),

  async run(call, { sounds, early = false, then, cause = 'NORMAL_CLEARING' }) {
    if (!early) await call.answer()
    // Not again when the call is taken over after it.
    await call.once('played', async () => {
      await call.play(...sounds)
      return true
    })
    return then === undefined ? call.hangup(cause) : call.go(then)
  },
}
