import { paidCall } from '../../test/support/call-records.js'
import type { CallRecord } from '../../src/store/call-record.js'

/** Calls of a minute, each with one charge, of the tenants in turn. */
export function billedCalls(count: number, tenants: readonly string[]): CallRecord[] {
  return Array.from({ length: count }, (_, i) => {
    const tenant = tenants[i % tenants.length]
    if (tenant === undefined) throw new Error('calls need a tenant')
    return paidCall(60_000 + (i % 1000), { tenant })
  })
}
