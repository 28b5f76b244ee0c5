/**
 * Preloaded into a server (`node --import`): its clock is ahead by CRASH_CLOCK_SHIFT_MS. So what a dead server has
 * on its disk comes back a day later, while the test takes minutes.
 */
const shiftMs = Number(process.env.CRASH_CLOCK_SHIFT_MS)
const RealDate = Date

class ShiftedDate extends RealDate {
  constructor(...given: [] | ConstructorParameters<typeof Date>) {
    if (given.length === 0) super(RealDate.now() + shiftMs)
    else super(...given)
  }

  static override now(): number {
    return RealDate.now() + shiftMs
  }
}

globalThis.Date = ShiftedDate as DateConstructor
export {}
