import { freePort } from '../../src/embedded/processes.js'

/** Below the ports that systems give to outgoing connections, one of which could take a dead server's port. */
const lowest = 20_000
const highest = 32_000

/** A port that stays its server's while that is dead. @param random [0, 1) */
export async function lastingPort(random: () => number): Promise<number> {
  for (;;) {
    const wanted = lowest + Math.floor(random() * (highest - lowest))
    if ((await freePort(wanted)) === wanted) return wanted
  }
}
