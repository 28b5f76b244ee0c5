/** One thing that can be set: how it is read, and what .env.example and the README say of it. */
export interface Setting<T> {
  name: string
  /** As text, as it would be entered; undefined when there is none. */
  default?: string
  /** What is allowed, to complete "…: allowed is". */
  allowed: string
  purpose: string
  isSecret?: true
  /** undefined when the text is not allowed. */
  parse(text: string): T | undefined
}

export const setting = <T>(setting: Setting<T>): Setting<T> => setting
