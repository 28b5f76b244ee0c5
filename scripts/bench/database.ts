import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { openPool } from '../../src/store/database.js'
import { migrateDatabase } from '../../src/store/migrate.js'
import { ensurePartitions } from '../../src/store/partitions.js'

/** Gives `work` a database with the product's tables, all empty, which is dropped afterwards. */
export async function withDatabase<T>(serverUrl: string, work: (url: string) => Promise<T>): Promise<T> {
  const name = `bench_${randomUUID().replaceAll('-', '')}`
  const server = openPool(serverUrl, { max: 1 })
  try {
    await server.query(`CREATE DATABASE ${name}`)
    const url = serverUrl.replace(/[^/]*$/, name)
    try {
      await migrateDatabase(url)
      await withPool(url, 1, (pool) => ensurePartitions(pool, new Date()))
      return await work(url)
    } finally {
      await server.query(`DROP DATABASE ${name} WITH (FORCE)`)
    }
  } finally {
    await server.end()
  }
}

export async function withPool<T>(url: string, max: number, work: (pool: pg.Pool) => Promise<T>): Promise<T> {
  const pool = openPool(url, { max })
  try {
    return await work(pool)
  } finally {
    await pool.end()
  }
}
