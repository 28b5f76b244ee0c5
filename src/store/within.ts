import pg from 'pg'

import { inTransaction } from './database.js'

/** A transaction that somebody has begun, or a pool: then what is done is a transaction of its own. */
export type Db = pg.Pool | pg.ClientBase

export function within<T>(db: Db, work: (client: pg.ClientBase) => Promise<T>): Promise<T> {
  return db instanceof pg.Pool ? inTransaction(db, work) : work(db)
}
