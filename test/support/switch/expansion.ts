import type { Session } from './session.js'

/** `${…}` is a variable's value; of API commands only the clock's are run, and nothing is left of the others. */
export function expand(session: Session, text: string): string {
  if (!text.includes('$')) return text
  return text.replace(/\$\$?\{([^}]*)\}/g, (_, name: string) => {
    if (name === 'strmicroepoch()') return session.clock.now.toString()
    if (name === 'strepoch()') return Math.floor(session.clock.now / 1e6).toString()
    return session.variable(name) ?? ''
  })
}
