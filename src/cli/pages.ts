import type { Client, Query } from './client.js'

interface Page<Item> {
  readonly items: readonly Item[]
  readonly next: string | null
}

export interface PagesOptions {
  /** Items, at most. Default all of them. */
  readonly limit?: number
  readonly query?: Query
  /** Told what else a page says. */
  readonly onPage?: (page: object) => void
}

/** More are not answered at once. */
const mostItems = 500

/** The pages of a list, until there are no more or `limit` items came. */
export async function* pagesOf<Item>(
  client: Client,
  path: string,
  { limit = Infinity, query = {}, onPage }: PagesOptions,
): AsyncGenerator<readonly Item[]> {
  let left = limit
  let cursor: string | undefined
  do {
    const { body } = await client.ask<Page<Item>>('GET', path, {
      query: { ...query, limit: Math.min(left, mostItems), cursor },
    })
    onPage?.(body)
    yield body.items
    left -= body.items.length
    cursor = body.next ?? undefined
  } while (cursor !== undefined && left > 0)
}
