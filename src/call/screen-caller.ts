import type { SessionDependencies } from './session-dependencies.js'
import type { Story } from './story.js'

/** Looks a call's caller up in the blacklist and the VIP list. Whoever calls for help is not asked for. */
export async function screenCaller(
  story: Story,
  screening: Pick<SessionDependencies['screening'], 'screen'>,
): Promise<void> {
  const { facts, identity } = story
  if (identity.isEmergency) {
    story.isBlacklisted = false
    return
  }
  const { isVip, isBlacklisted } = await screening.screen({
    raw: facts.callerNumber,
    normal: identity.caller,
    isAnonymous: facts.isAnonymous,
  })
  story.isVip = isVip
  story.isBlacklisted = isBlacklisted
}
