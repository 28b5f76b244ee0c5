/**
 * Headers that are always asked for together, so that all of them are found in one pass over an event
 * (`Event.pick`). Made once, it keeps what it searches with.
 */
export class HeaderList<Name extends string = string> {
  readonly names: readonly Name[]
  /** A name as a key of JSON and, unless it is a list or has an escape in it, its value. */
  readonly inJson: RegExp
  /** A line that begins with one of the names, and its value. */
  readonly inPlain: RegExp

  /** @param names in FreeSWITCH's own spelling */
  constructor(names: readonly Name[]) {
    this.names = names
    const any = names.map((name) => name.replace(/[^A-Za-z0-9_-]/g, '\\$&')).join('|')
    this.inJson = new RegExp(`"(${any})":(?:"([^"\\\\]*)")?`, 'g')
    this.inPlain = new RegExp(`(?:^|\\n)(${any}): ?([^\\n]*)`, 'g')
  }
}

/** The first value of each header that is there. */
export type Picked<Name extends string> = Readonly<Partial<Record<Name, string>>>
