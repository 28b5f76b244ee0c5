import { randomUUID } from 'node:crypto'

import { setPlayed } from './media.js'
import type { Session } from './session.js'

/** `callcenter QUEUE@DOMAIN`, a caller whom no agent takes: music until the caller gives up. */
export async function joinQueue(session: Session, queue: string): Promise<void> {
  const { clock } = session
  const { variables } = session.channel
  const joinedAt = clock.now
  variables.setAll({
    cc_side: 'member',
    cc_member_uuid: randomUUID(),
    cc_queue_joined_epoch: Math.floor(joinedAt / 1e6).toString(),
    cc_queue: queue,
  })
  await session.waitInterruptibly(undefined)
  setPlayed(session, Math.round((clock.now - joinedAt) / 1000))
  variables.setAll({
    cc_queue_canceled_epoch: Math.floor(clock.now / 1e6).toString(),
    cc_cause: 'cancel',
    cc_cancel_reason: 'BREAK_OUT',
  })
}
