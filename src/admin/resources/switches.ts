import { Type, type FastifyPluginCallbackTypebox, type Static } from '@fastify/type-provider-typebox'
import { access } from '../access.js'
import type { AdminDependencies, SwitchStatus } from '../dependencies.js'
import { moment, noQuery, nullable, problems, security } from '../schemas.js'

const switchSchema = Type.Object(
  {
    name: Type.String({ description: 'Where its inbound event socket is: host:port' }),
    up: Type.Boolean({ description: 'Whether its events are heard now' }),
    trouble: nullable(Type.String(), { description: 'Why it is not up; it is tried again until it is' }),
    switch_name: nullable(Type.String(), { description: 'What it calls itself; null: it was never heard' }),
    core_uuid: nullable(Type.String(), { description: 'Another one each time that it starts' }),
    last_heard_at: nullable(moment("When its latest event was made, by the switch's clock"), {
      description: 'Null: it was never heard',
    }),
  },
  {
    additionalProperties: false,
    description: 'A FreeSWITCH, and the link to it',
    examples: [
      {
        name: '127.0.0.1:8021',
        up: true,
        trouble: null,
        switch_name: 'pbx1',
        core_uuid: 'eda85f47-02db-420d-a0ca-2df0ddd538f5',
        last_heard_at: '2025-01-31T08:00:00.000Z',
      },
    ],
  },
)
const items = Type.Object(
  { items: Type.Array(switchSchema) },
  { additionalProperties: false, description: 'All of them, as they were set' },
)

export const switches: FastifyPluginCallbackTypebox<AdminDependencies> = (app, dependencies, done) => {
  app.get(
    '/switches',
    {
      config: access('read', 'no'),
      schema: {
        operationId: 'listSwitches',
        tags: ['switches'],
        summary: 'The FreeSWITCHes whose events this server hears',
        security,
        querystring: noQuery,
        response: { 200: items, ...problems() },
      },
    },
    () => ({ items: dependencies.switches().map(shown) }),
  )
  done()
}

function shown(link: SwitchStatus): Static<typeof switchSchema> {
  return {
    name: link.name,
    up: link.isUp,
    trouble: link.trouble ?? null,
    switch_name: link.switchName ?? null,
    core_uuid: link.coreUuid ?? null,
    last_heard_at: link.lastHeardAt ? new Date(Math.floor(link.lastHeardAt / 1000)).toISOString() : null,
  }
}
