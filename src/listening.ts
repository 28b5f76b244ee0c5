import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { Address } from './setting-values.js'

/** @throws an error whose message is one line for the person who started it */
export async function listenHttp(admin: FastifyInstance, { host, port }: Address): Promise<void> {
  try {
    await admin.listen({ host, port })
  } catch (error) {
    throw listenError('HTTP_LISTEN', { host, port }, error)
  }
}

/** Why a port cannot be had. @param setting names where */
export function listenError(setting: string, { host, port }: Address, error: unknown): Error {
  const { code, message } = error as NodeJS.ErrnoException
  const what =
    code === 'EADDRINUSE'
      ? 'another process listens there; stop it, or set another port'
      : code === 'EADDRNOTAVAIL'
        ? 'this machine has no such address'
        : code === 'EACCES'
          ? 'this user may not listen there'
          : message
  return new Error(`${setting} ${host}:${port}: ${what}`, { cause: error })
}

/** `127.0.0.1:9000`, `[::1]:9000` */
export function show({ address, port, family }: AddressInfo): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`
}
