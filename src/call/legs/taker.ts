import type { Logger } from 'pino'
import type { Channel } from '../../channel/channel.js'
import { CallerGone } from '../../esl/errors.js'
import type { Tenant } from '../../store/catalog.js'
import type { Attempt, Legs } from './legs.js'
import { mayBeTakenBySeveral } from './target.js'

/**
 * What FreeSWITCH itself writes on each leg that it dials as `user/1001@domain` (mod_dptools' user_outgoing_channel), from
 * its directory. The leg's number is no proof: the phone chooses it, when it registers.
 */
export const dialedUser = 'dialed_user'
const dialedDomain = 'dialed_domain'

export interface TakerOptions {
  readonly tenant: Pick<Tenant, 'domain'>
  readonly channel: Pick<Channel, 'variable' | 'remember'>
  readonly legs: Pick<Legs, 'talking'>
  readonly stateWith: (attempt: Attempt) => string
  readonly log: Logger
}

/**
 * A caller talks now: should he have been taken by one of several phones, the call remembers whose it is, for whoever gets
 * it next, if that one transfers it. One that is not learnt is nobody's, and may transfer to nowhere outside.
 */
export function learnTaker(options: TakerOptions): void {
  const leg = options.legs.talking
  if (leg === undefined || !mayBeTakenBySeveral(leg.attempt.target)) return
  if (leg.attempt.taker?.legUuid === leg.uuid) return
  learn(leg, options).catch((error: unknown) => {
    if (error instanceof CallerGone) return
    options.log.warn({ err: error, leg: leg.uuid }, 'nobody knows whose phone has the call')
  })
}

async function learn(
  { uuid: legUuid, attempt }: { readonly uuid: string; readonly attempt: Attempt },
  { tenant, channel, legs, stateWith }: TakerOptions,
): Promise<void> {
  const [extension, domain] = await Promise.all([
    channel.variable(dialedUser, legUuid),
    channel.variable(dialedDomain, legUuid),
  ])
  const isOurs = tenant.domain === undefined || domain === tenant.domain
  if (extension === undefined || !isOurs || legs.talking?.uuid !== legUuid) return
  attempt.taker = { legUuid, extension }
  await channel.remember(stateWith(attempt))
}
