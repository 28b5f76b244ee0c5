import { readFile } from 'node:fs/promises'
import { saveFlows } from '../src/routes/flow-file.js'
import { ownRoutes } from '../src/routes/own.js'
import { Routes } from '../src/routes/registry.js'
import { checkDatabase, openPool } from '../src/store/database.js'
import { ChangeRefused } from '../src/store/refusal.js'
import { pino } from 'pino'
import { databaseUrl } from './database-url.js'
import { configOfSettings } from './settings.js'

/**
 * `npm run flows -- TENANT FILE.json`: saves menus, opening hours and number plan of a tenant, all of the file or
 * nothing. In force on every node at once. Exit code 1: something in it is wrong, 2: it could not be tried.
 */
const isWrong = 1
const notTried = 2

async function main([tenant, file]: readonly string[]): Promise<void> {
  if (tenant === undefined || file === undefined)
    throw new Error('whose flows, and from where? npm run flows -- TENANT FILE.json')
  const document = parsed(await readFile(file, 'utf8'))
  const config = configOfSettings()
  const routes = new Routes({ own: config.routesDir === undefined ? [] : await ownRoutes(config.routesDir) })
  const undo: (() => Promise<unknown>)[] = []
  try {
    const pool = openPool(await databaseUrl(config, undo), { max: 1, log: pino({ level: 'silent' }) })
    undo.push(() => pool.end())
    await checkDatabase(pool)
    const { menus, hours, numbers } = await saveFlows(pool, routes, tenant, document)
    console.log(`saved for ${tenant}: ${menus} menus, ${hours} hours, ${numbers} entries of the number plan`)
  } finally {
    for (const step of undo.reverse()) await step()
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new ChangeRefused('invalid', `the file is no JSON: ${String(error)}`)
  }
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(
    `flows: ${String(error instanceof Error ? error.message : error).replace(/\s+/g, ' ')}\n`,
  )
  process.exitCode = error instanceof ChangeRefused ? isWrong : notTried
}
