/** Those who wait until something can be seen. */
export class Signals {
  readonly #waiting = new Set<() => void>()

  /** Something has changed. Whoever waited for it goes on before anything else happens on a socket. */
  poke(): void {
    for (const look of this.#waiting) look()
  }

  /** @returns whether it came true within so many ms */
  when(isTrue: () => boolean, ms: number): Promise<boolean> {
    if (isTrue()) return Promise.resolve(true)
    return new Promise((resolve) => {
      const end = (result: boolean): void => {
        this.#waiting.delete(look)
        clearInterval(interval)
        clearTimeout(timeout)
        resolve(result)
      }
      const look = (): void => {
        if (isTrue()) end(true)
      }
      // Time passes without a word, too.
      const interval = setInterval(look, 20)
      const timeout = setTimeout(() => {
        end(isTrue())
      }, ms)
      this.#waiting.add(look)
    })
  }
}
