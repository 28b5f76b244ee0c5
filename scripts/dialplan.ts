/** What dialplan/linger.xml sets on every call before it hands it to the server. */
export const dialplanVariables = {
  hangup_after_bridge: 'false',
  continue_on_fail: 'true',
}

/** The guard timer's, in seconds. */
export const dialplanGuardSeconds = 15
