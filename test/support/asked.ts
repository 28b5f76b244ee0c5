import { createHash, randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import type { TestLinger } from './linger.js'
import { ApiContract, type OpenApi } from './openapi.js'

/** Asks servers that run; whatever they answer must be as openapi.json says. */
export class Asked {
  readonly contract: ApiContract

  private constructor(contract: ApiContract) {
    this.contract = contract
  }

  static async of({ server }: Pick<TestLinger, 'server'>): Promise<Asked> {
    const document = await fetch(`http://${server.httpAddress}/openapi.json`)
    return new Asked(new ApiContract((await document.json()) as OpenApi))
  }

  /** @param body is sent as JSON; @param key another one than the server's own */
  async ask(
    t: Pick<Test, 'strictSame'>,
    { server, adminKey }: Pick<TestLinger, 'server' | 'adminKey'>,
    method: string,
    path: string,
    { body, key = adminKey }: { readonly body?: unknown; readonly key?: string } = {},
  ): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
    const answer = await fetch(`http://${server.httpAddress}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await answer.text()
    const seen = { statusCode: answer.status, headers: Object.fromEntries(answer.headers), body: text }
    const faults = this.contract.faults(method, path, seen)
    t.strictSame(faults, [], `${method} ${path}: ${answer.status}`)
    return { status: answer.status, body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown> }
  }
}

/** @returns a new key of a role, for one tenant alone unless that is null */
export async function newKey(
  { pool }: Pick<TestLinger, 'pool'>,
  role: string,
  tenant: string | null,
): Promise<string> {
  const text = `test_${randomUUID()}`
  await pool.query('INSERT INTO api_keys (hash, role, tenant_id) VALUES ($1, $2, $3)', [
    createHash('sha256').update(text).digest(),
    role,
    tenant,
  ])
  return text
}
