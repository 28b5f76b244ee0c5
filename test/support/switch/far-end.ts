/**
 * What the party that is dialled does, and what the caller does to it. Times in ms; a leg's times are
 * exact to the µs: one that hangs up 2,540 ms after its answer has talked 2,540,000 µs.
 */
export interface FarEnd {
  /** 180 Ringing so long after it was dialled. Without it the far end says nothing before it answers or refuses. */
  readonly ringsAfterMs?: number
  /** So long after it was dialled. Without it, and without a refusal, it is never answered. */
  readonly answersAfterMs?: number
  /** So long after its answer. Without it, it never hangs up. */
  readonly hangsUpAfterMs?: number
  /** A SIP status from 400 on. */
  readonly refusesWith?: number
  readonly refusesAfterMs?: number
  /** The switch cannot even dial it: the hangup cause, as USER_NOT_REGISTERED. */
  readonly failsWith?: string
  /** CANCEL so long after the far end was dialled, if it has not answered by then. */
  readonly callerCancelsAfterMs?: number
  /** BYE, so that the called leg ends so long after its answer (the switch ends it a frame after the caller's). */
  readonly callerHangsUpAfterMs?: number
  /** It goes on talking when the caller hangs up, until its own end. */
  readonly outlivesCaller?: boolean
  /** REFER so long after the answer: this side transfers the other one. */
  readonly refers?: {
    readonly by: 'caller' | 'called'
    readonly afterMs: number
    readonly to: string
    /** Not before that holds of the caller's channel. */
    readonly once?: (variable: (name: string) => string | undefined) => boolean
  }
}

/** Chosen by dial string: `sofia/gateway/carrier1/84901234567`. */
export type FarEndChoice = FarEnd | ((dialString: string) => FarEnd)

export const farEnds = {
  answers(hangsUpAfterMs?: number, answersAfterMs = 0): FarEnd {
    return hangsUpAfterMs === undefined ? { answersAfterMs } : { answersAfterMs, hangsUpAfterMs }
  },
  /** Rings, and nobody takes the call. */
  noAnswer: { ringsAfterMs: 20 },
  busy: { refusesWith: 486 },
  rejects: { refusesWith: 603 },
  notFound: { refusesWith: 404 },
  unavailable: { refusesWith: 480 },
  /** A gateway that refuses. */
  congested: { refusesWith: 503 },
  /** A gateway that is not there: FreeSWITCH makes a 503 of it at once. */
  unreachable: { refusesWith: 503, refusesAfterMs: 0 },
  notRegistered: { failsWith: 'USER_NOT_REGISTERED' },
} as const satisfies Record<string, FarEndChoice | ((...args: never[]) => FarEnd)>
