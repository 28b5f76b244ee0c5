/** A number's digits as a quantity: of those of one length the order is the same. */
type Quantity = number | bigint

/** Digits that a double counts exactly, and compares several times as fast as it does a bigint or a text. */
const mostExactDigits = 15

function quantity(digits: string): Quantity {
  return digits.length <= mostExactDigits ? Number(digits) : BigInt(digits)
}

export interface FoundRange<T> {
  readonly value: T
  /** How many numbers it has but one: of ranges that hold a number the narrowest one counts. */
  readonly width: Quantity
}

interface Place {
  readonly first: Quantity
  readonly last: Quantity
}

interface Node<T> extends FoundRange<T>, Place {
  /** Random: that of a node is above its children's, so that the tree stays about as flat as it can be. */
  readonly priority: number
  left: Node<T> | undefined
  right: Node<T> | undefined
  /** Of all that is below, itself included. */
  lastOfAll: Quantity
  leastWidth: Quantity
}

/**
 * Ranges of numbers of one length that may lie in each other and overlap, in the order of where they begin, each
 * knowing how far what is below it reaches (a treap that is an interval tree). To find one, to add one and to take one
 * away costs some twenty steps among 100,000, and more only where many ranges hold the same number.
 */
export class RangeTree<T> {
  #root: Node<T> | undefined

  /** @param from digits, as many as `to`; there must be no such range yet */
  add(from: string, to: string, value: T): void {
    const [first, last] = [quantity(from), quantity(to)]
    // Both are of one kind, as they have the same length.
    const width = typeof last === 'bigint' ? last - BigInt(first) : last - Number(first)
    this.#root = inserted(this.#root, {
      ...{ first, last, value, width, priority: Math.random() },
      ...{ left: undefined, right: undefined, lastOfAll: last, leastWidth: width },
    })
  }

  remove(from: string, to: string): void {
    this.#root = removed(this.#root, { first: quantity(from), last: quantity(to) })
  }

  /** @param number digits, as many as the ranges' */
  narrowest(number: string): FoundRange<T> | undefined {
    return narrowest(this.#root, quantity(number), undefined)
  }

  get isEmpty(): boolean {
    return this.#root === undefined
  }
}

function narrowest<T>(
  node: Node<T> | undefined,
  number: Quantity,
  best: FoundRange<T> | undefined,
): FoundRange<T> | undefined {
  if (node === undefined || node.lastOfAll < number || (best && node.leastWidth >= best.width)) return best
  let found = narrowest(node.left, number, best)
  if (node.first > number) return found
  if (node.last >= number && (found === undefined || node.width < found.width)) found = node
  return narrowest(node.right, number, found)
}

function isBefore(one: Place, other: Place): boolean {
  return one.first === other.first ? one.last < other.last : one.first < other.first
}

function inserted<T>(tree: Node<T> | undefined, node: Node<T>): Node<T> {
  if (tree === undefined) return node
  if (isBefore(node, tree)) {
    const left = inserted(tree.left, node)
    tree.left = left
    if (left.priority <= tree.priority) return updated(tree)
    tree.left = left.right
    left.right = updated(tree)
    return updated(left)
  }
  const right = inserted(tree.right, node)
  tree.right = right
  if (right.priority <= tree.priority) return updated(tree)
  tree.right = right.left
  right.left = updated(tree)
  return updated(right)
}

function removed<T>(tree: Node<T> | undefined, place: Place): Node<T> | undefined {
  if (tree === undefined) return undefined
  if (tree.first === place.first && tree.last === place.last) return joined(tree.left, tree.right)
  if (isBefore(place, tree)) tree.left = removed(tree.left, place)
  else tree.right = removed(tree.right, place)
  return updated(tree)
}

/** @param left all of it is before `right` */
function joined<T>(left: Node<T> | undefined, right: Node<T> | undefined): Node<T> | undefined {
  if (left === undefined || right === undefined) return left ?? right
  if (left.priority > right.priority) {
    left.right = joined(left.right, right)
    return updated(left)
  }
  right.left = joined(left, right.left)
  return updated(right)
}

function updated<T>(node: Node<T>): Node<T> {
  node.lastOfAll = node.last
  node.leastWidth = node.width
  for (const child of [node.left, node.right]) {
    if (child === undefined) continue
    if (child.lastOfAll > node.lastOfAll) node.lastOfAll = child.lastOfAll
    if (child.leastWidth < node.leastWidth) node.leastWidth = child.leastWidth
  }
  return node
}
