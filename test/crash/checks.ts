/** What was looked at, and whether it held. */
export class Checks {
  #passed = 0
  readonly #failed: string[] = []

  expect(holds: boolean, what: string): void {
    if (holds) this.#passed++
    else this.#failed.push(what)
  }

  get failed(): readonly string[] {
    return this.#failed
  }

  /** As the last line of tap's is, from which CI counts. */
  closingLine(): string {
    const counts = [
      `total: ${this.#passed + this.#failed.length}`,
      ...(this.#passed > 0 ? [`pass: ${this.#passed}`] : []),
      ...(this.#failed.length > 0 ? [`fail: ${this.#failed.length}`] : []),
    ]
    return `# { ${counts.join(', ')} }`
  }
}
