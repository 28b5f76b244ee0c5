/**
 * What `promise` settles with, if it does so in time.
 *
 * @throws what `tooLate` makes, once `ms` are over; the promise may go on, and its rejection is nobody's then
 */
export async function inTime<T>(promise: Promise<T>, ms: number, tooLate: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  try {
    return await Promise.race([
      promise,
      new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => {
          reject(tooLate())
        }, ms)
      }),
    ])
  } finally {
    clearTimeout(timer)
  }
}
