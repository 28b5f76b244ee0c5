/** Digits of a prefix at most, as the database's `rates.prefix` has it. */
export const longestPrefix = 32

const digitZero = 48
const digits = 10

/** How many of ten bits are set. */
const bitCount = Uint8Array.from({ length: 1 << digits }, (_, bits) => {
  let count = 0
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++
  return count
})

/**
 * Prefixes of digits, each with a whole number, in three flat arrays: 10 bytes a node, so that a million
 * prefixes take some 20 MB and no work of the garbage collector. The children of a node stand side by side, and
 * a bit for each digit says which there are: the number of bits below a digit's own is its child's place.
 */
export class PrefixTrie {
  readonly #children: Uint16Array
  readonly #firstChild: Uint32Array
  /** 0: no prefix ends here. */
  readonly #values: Uint32Array
  readonly #root: number

  /** As `PrefixTrieBuilder` makes them. */
  constructor(children: Uint16Array, firstChild: Uint32Array, values: Uint32Array) {
    this.#children = children
    this.#firstChild = firstChild
    this.#values = values
    this.#root = values.length - 1
  }

  /**
   * Finds every prefix that `number` begins with.
   *
   * @param found receives at each length the value of the prefix of that length, 0 where there is none;
   *   `longestPrefix + 1` places
   * @returns the last length that was written
   */
  match(number: string, found: Uint32Array): number {
    let node = this.#root
    let length = 0
    for (;;) {
      found[length] = this.#values[node] ?? 0
      if (length === number.length) return length
      const digit = number.charCodeAt(length) - digitZero
      const children = this.#children[node] ?? 0
      if (digit < 0 || digit >= digits || (children & (1 << digit)) === 0) return length
      node = (this.#firstChild[node] ?? 0) + (bitCount[children & ((1 << digit) - 1)] ?? 0)
      length++
    }
  }
}

/**
 * Makes a trie of prefixes that come in ascending order, in one pass: a node is written when all below it has
 * been, together with its siblings. What is in the making is only the path to the latest prefix.
 */
export class PrefixTrieBuilder {
  readonly #children = new Growing(Uint16Array)
  readonly #firstChild = new Growing(Uint32Array)
  readonly #values = new Growing(Uint32Array)

  #latest: string | undefined
  /** Of the node at each length of the path. */
  readonly #pathValues = new Uint32Array(longestPrefix + 1)
  readonly #pathChildren = new Uint16Array(longestPrefix + 1)
  /** Of their children that are finished: ten places a node. */
  readonly #siblingValues = new Uint32Array((longestPrefix + 1) * digits)
  readonly #siblingChildren = new Uint16Array((longestPrefix + 1) * digits)
  readonly #siblingFirstChild = new Uint32Array((longestPrefix + 1) * digits)

  /**
   * @param value 1 to 2³² - 1
   * @throws RangeError when the prefix does not come after the one before it, or is none
   */
  add(prefix: string, value: number): void {
    if (prefix.length > longestPrefix || !isDigits(prefix))
      throw new RangeError(`${JSON.stringify(prefix)} is no prefix: up to ${longestPrefix} digits`)
    if (this.#latest !== undefined && prefix <= this.#latest)
      throw new RangeError(`prefix ${prefix} does not come after ${this.#latest}`)
    this.#finishDownTo(commonLength(prefix, this.#latest ?? ''))
    this.#latest = prefix
    this.#pathValues[prefix.length] = value
  }

  /** The builder is of no use any more. */
  build(): PrefixTrie {
    this.#finishDownTo(0)
    const firstChild = this.#writeChildren(0)
    this.#write(this.#pathChildren[0] ?? 0, firstChild, this.#pathValues[0] ?? 0)
    return new PrefixTrie(this.#children.trimmed(), this.#firstChild.trimmed(), this.#values.trimmed())
  }

  #finishDownTo(length: number): void {
    const latest = this.#latest ?? ''
    for (let end = latest.length; end > length; end--) {
      const firstChild = this.#writeChildren(end)
      const parent = end - 1
      const place = parent * digits + (bitCount[this.#pathChildren[parent] ?? 0] ?? 0)
      this.#siblingValues[place] = this.#pathValues[end] ?? 0
      this.#siblingChildren[place] = this.#pathChildren[end] ?? 0
      this.#siblingFirstChild[place] = firstChild
      this.#pathChildren[parent] =
        (this.#pathChildren[parent] ?? 0) | (1 << (latest.charCodeAt(parent) - digitZero))
      this.#pathValues[end] = 0
      this.#pathChildren[end] = 0
    }
  }

  /** @returns where they begin */
  #writeChildren(length: number): number {
    const first = this.#values.length
    const end = length * digits + (bitCount[this.#pathChildren[length] ?? 0] ?? 0)
    for (let place = length * digits; place < end; place++)
      this.#write(
        this.#siblingChildren[place] ?? 0,
        this.#siblingFirstChild[place] ?? 0,
        this.#siblingValues[place] ?? 0,
      )
    return first
  }

  #write(children: number, firstChild: number, value: number): void {
    this.#children.push(children)
    this.#firstChild.push(firstChild)
    this.#values.push(value)
  }
}

/** A typed array that grows. */
class Growing<A extends Uint16Array | Uint32Array> {
  readonly #make: new (length: number) => A
  #array: A
  length = 0

  constructor(make: new (length: number) => A) {
    this.#make = make
    this.#array = new make(64)
  }

  push(value: number): void {
    if (this.length === this.#array.length) {
      const larger = new this.#make(2 * this.length)
      larger.set(this.#array)
      this.#array = larger
    }
    this.#array[this.length++] = value
  }

  trimmed(): A {
    return this.#array.slice(0, this.length) as A
  }
}

function isDigits(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - digitZero
    if (digit < 0 || digit >= digits) return false
  }
  return true
}

function commonLength(a: string, b: string): number {
  let length = 0
  while (length < a.length && length < b.length && a.charCodeAt(length) === b.charCodeAt(length)) length++
  return length
}
