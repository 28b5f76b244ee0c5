import type { Money } from './money.js'
import { plainTerms, type Rate, type Rounding, type RoundingMode } from './rating.js'

/** The rates of one prefix lie in one page; its address is 12 bits of page and 20 bits of place in it. */
const placeBits = 20
const pageSize = 1 << placeBits
const mostPages = 1 << (32 - placeBits)

/*
 * One rate: flags, price, what the flags say, texts; little endian, amounts of 80 bits (NUMERIC(24, 6) has no
 * more). The texts are one: it is read in one go and cut.
 */
const hasTerms = 1
const hasMinimumCost = 2
const hasMaximumCost = 4
const hasValidFrom = 8
const hasValidTo = 16
const isFollowed = 32
const moneyBytes = 10
const termsBytes = moneyBytes + 3 * 4 + 1
const momentBytes = 8
/** Length of the prefix as entered, in characters, and of the whole text, in bytes. */
const textHeadBytes = 2 + 4

const modes: readonly RoundingMode[] = ['up', 'down', 'half_up', 'half_even']
/** Every way to round, by its number: the mode's place × 7 + the decimals. */
const roundings: readonly Rounding[] = modes.flatMap((mode) =>
  [0, 1, 2, 3, 4, 5, 6].map((decimals) => ({ mode, decimals })),
)

interface Page {
  readonly bytes: Buffer
  readonly view: DataView
}

type Draft = { -readonly [K in keyof Rate]: Rate[K] }

/**
 * Rates as bytes in a few large buffers: some 50 each instead of some 400 as objects, and nothing for the
 * garbage collector to walk. One is read where it is looked up.
 */
export class PackedRates {
  readonly #pages: Page[] = []
  /** Where the last page goes on. */
  #end = pageSize

  /**
   * @param rates all of one prefix, which is not kept; at least one
   * @returns their address, at most 2³² - 2
   * @throws RangeError when an amount or a text is too large, or 4 GB are full
   */
  add(rates: readonly Rate[]): number {
    const size = rates.reduce((total, rate) => total + sizeOf(rate), 0)
    let page = this.#pages.at(-1)
    if (page === undefined || this.#end + size > pageSize) page = this.#newPage(size)
    const place = this.#end
    rates.forEach((rate, i) => {
      this.#end = write(page, this.#end, rate, i < rates.length - 1)
    })
    // Not `<<`: the highest bit would make it negative.
    return (this.#pages.length - 1) * pageSize + place
  }

  /** Nothing more is added: what the last page has left is given back. */
  trim(): void {
    const last = this.#pages.pop()
    if (last) this.#pages.push(pageOf(Buffer.from(last.bytes.subarray(0, this.#end))))
    this.#end = pageSize
  }

  /** The rates that were added at this address, with the prefix that they were added for. */
  read(address: number, prefix: string): readonly Rate[] {
    const page = this.#pages[address >>> placeBits]
    if (!page) return []
    const rates: Rate[] = []
    let place = address & (pageSize - 1)
    for (;;) {
      const flags = page.view.getUint8(place)
      place = read(page, place, flags, prefix, rates)
      if ((flags & isFollowed) === 0) return rates
    }
  }

  #newPage(size: number): Page {
    if (this.#pages.length === mostPages) throw new RangeError('a deck holds no more than 4 GB of rates')
    this.trim()
    const page = pageOf(Buffer.allocUnsafeSlow(Math.max(pageSize, size)))
    this.#pages.push(page)
    this.#end = 0
    return page
  }
}

function pageOf(bytes: Buffer): Page {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) }
}

function flagsOf(rate: Rate): number {
  const hasPlainTerms =
    rate.connectionFee === 0n &&
    rate.minimumSeconds === 0 &&
    rate.incrementSeconds === 0 &&
    rate.graceSeconds === 0 &&
    roundingNumber(rate.rounding) === plainRounding
  return (
    (hasPlainTerms ? 0 : hasTerms) |
    (rate.minimumCost === undefined ? 0 : hasMinimumCost) |
    (rate.maximumCost === undefined ? 0 : hasMaximumCost) |
    (rate.validFrom === undefined ? 0 : hasValidFrom) |
    (rate.validTo === undefined ? 0 : hasValidTo)
  )
}

function sizeOf(rate: Rate): number {
  const flags = flagsOf(rate)
  return (
    1 +
    moneyBytes +
    (flags & hasTerms ? termsBytes : 0) +
    (flags & hasMinimumCost ? moneyBytes : 0) +
    (flags & hasMaximumCost ? moneyBytes : 0) +
    (flags & hasValidFrom ? momentBytes : 0) +
    (flags & hasValidTo ? momentBytes : 0) +
    textHeadBytes +
    Buffer.byteLength(rate.prefixEntered) +
    Buffer.byteLength(rate.description)
  )
}

/** @returns where it ends */
function write({ bytes, view }: Page, start: number, rate: Rate, isFollowedByAnother: boolean): number {
  const flags = flagsOf(rate)
  view.setUint8(start, flags | (isFollowedByAnother ? isFollowed : 0))
  let place = writeMoney(view, start + 1, rate.pricePerMinute)
  if (flags & hasTerms) {
    place = writeMoney(view, place, rate.connectionFee)
    view.setUint32(place, rate.minimumSeconds, true)
    view.setUint32(place + 4, rate.incrementSeconds, true)
    view.setUint32(place + 8, rate.graceSeconds, true)
    view.setUint8(place + 12, roundingNumber(rate.rounding))
    place += 13
  }
  if (rate.minimumCost !== undefined) place = writeMoney(view, place, rate.minimumCost)
  if (rate.maximumCost !== undefined) place = writeMoney(view, place, rate.maximumCost)
  for (const moment of [rate.validFrom, rate.validTo])
    if (moment !== undefined) {
      view.setBigInt64(place, BigInt(moment), true)
      place += momentBytes
    }
  const enteredLength = rate.prefixEntered.length
  if (enteredLength > 0xffff) throw new RangeError(`prefix ${rate.prefix} was entered too lengthily`)
  const textBytes = bytes.write(rate.prefixEntered + rate.description, place + textHeadBytes)
  view.setUint16(place, enteredLength, true)
  view.setUint32(place + 2, textBytes, true)
  return place + textHeadBytes + textBytes
}

/** @returns where it ends */
function read({ bytes, view }: Page, start: number, flags: number, prefix: string, into: Rate[]): number {
  const rate: Draft = {
    prefix,
    prefixEntered: '',
    description: '',
    pricePerMinute: readMoney(view, start + 1),
    connectionFee: plainTerms.connectionFee,
    minimumSeconds: plainTerms.minimumSeconds,
    incrementSeconds: plainTerms.incrementSeconds,
    graceSeconds: plainTerms.graceSeconds,
    rounding: plainTerms.rounding,
  }
  let place = start + 1 + moneyBytes
  if (flags & hasTerms) {
    rate.connectionFee = readMoney(view, place)
    place += moneyBytes
    rate.minimumSeconds = view.getUint32(place, true)
    rate.incrementSeconds = view.getUint32(place + 4, true)
    rate.graceSeconds = view.getUint32(place + 8, true)
    rate.rounding = roundings[view.getUint8(place + 12)] ?? plainTerms.rounding
    place += 13
  }
  if (flags & hasMinimumCost) {
    rate.minimumCost = readMoney(view, place)
    place += moneyBytes
  }
  if (flags & hasMaximumCost) {
    rate.maximumCost = readMoney(view, place)
    place += moneyBytes
  }
  if (flags & hasValidFrom) {
    rate.validFrom = Number(view.getBigInt64(place, true))
    place += momentBytes
  }
  if (flags & hasValidTo) {
    rate.validTo = Number(view.getBigInt64(place, true))
    place += momentBytes
  }
  const enteredLength = view.getUint16(place, true)
  const end = place + textHeadBytes + view.getUint32(place + 2, true)
  const text = bytes.toString('utf8', place + textHeadBytes, end)
  rate.prefixEntered = text.slice(0, enteredLength)
  rate.description = text.slice(enteredLength)
  into.push(rate)
  return end
}

function roundingNumber({ mode, decimals }: Rounding): number {
  return modes.indexOf(mode) * 7 + decimals
}

const plainRounding = roundingNumber(plainTerms.rounding)

function writeMoney(view: DataView, place: number, amount: Money): number {
  if (amount < 0n || amount >= 1n << 80n) throw new RangeError(`${amount} is beyond any rate`)
  view.setBigUint64(place, BigInt.asUintN(64, amount), true)
  view.setUint16(place + 8, Number(amount >> 64n), true)
  return place + moneyBytes
}

function readMoney(view: DataView, place: number): Money {
  const low = view.getBigUint64(place, true)
  const high = view.getUint16(place + 8, true)
  return high === 0 ? low : low + (BigInt(high) << 64n)
}
