import type { Route } from './route.js'

/**
 * Looks the caller up for a dialplan of the operator's own: sets `blacklisted` and `vip` (true or false) and gives the
 * call back to the next action.
 * @param refuses a blacklisted caller is refused at once
 */
export const checkphone = (refuses: boolean): Route => ({
  name: 'checkphone',
  summary: 'Sets blacklisted and vip on the channel and gives the call back to the dialplan',
  isScreened: false,
  needsTenant: false,
  givesBack: true,

  async run(call) {
    await call.screen()
    const { isBlacklisted, isVip } = call
    if (isBlacklisted && refuses) return call.refuse('CALL_REJECTED', 'the caller is blacklisted')
    return call.giveBack({ blacklisted: String(isBlacklisted), vip: String(isVip) })
  },
})
