/** Of a call, as its tenant sees it: from outside, to the outside, or between its own extensions. */
export type Direction = 'inbound' | 'outbound' | 'internal'
