import { readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Route } from './route.js'

const isModule = /^[^.].*\.m?js$/

/**
 * The operator's own routes: each JavaScript module of a folder has one as its default export. Files that begin with a
 * dot or have another ending are left alone, and so are folders, where modules may keep what they share.
 *
 * @throws Error in one line, which names the file, when it is no route
 */
export async function ownRoutes(dir: string): Promise<Route[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: unknown) => {
    throw new Error(`the folder of routes ${dir} cannot be read: ${oneLine(error)}`, { cause: error })
  })
  const files = entries.filter((entry) => entry.isFile() && isModule.test(entry.name)).map(({ name }) => name)
  return Promise.all(files.sort().map((file) => routeOf(resolve(join(dir, file)))))
}

async function routeOf(file: string): Promise<Route> {
  const module = (await import(pathToFileURL(file).href).catch((error: unknown) => {
    throw new Error(`the route ${file} cannot be loaded: ${oneLine(error)}`, { cause: error })
  })) as { default?: unknown }
  const route = module.default
  if (typeof route !== 'object' || route === null) throw notARoute(file, 'no default export')
  const { name, run, summary } = route as Partial<Route>
  if (typeof name !== 'string') throw notARoute(file, 'its `name` is no text')
  if (typeof summary !== 'string') throw notARoute(file, 'its `summary` is no text')
  if (typeof run !== 'function') throw notARoute(file, 'its `run` is no function')
  return route as Route
}

function notARoute(file: string, why: string): Error {
  return new Error(
    `${file} is no route: ${why}; allowed is { name, summary, run(call, args) } as its default export`,
  )
}

function oneLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ')
}
