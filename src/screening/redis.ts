import { once } from 'node:events'
import { Redis, type ChainableCommander } from 'ioredis'
import type { Logger } from 'pino'

/** Redis cannot be reached, does not answer, or refuses. `message` is one line without addresses. */
export class RedisAway extends Error {
  readonly code = 'redis_away'
}

const connectTimeoutMs = 2000
/** A connection on which an answer is this late is dead (or as good as): it is closed and made anew. */
const silenceMs = 3000
const firstRetryMs = 50
const longestRetryMs = 1000

/** Why a client has no connection. */
const failures = new WeakMap<Redis, string>()

/**
 * A client that would rather fail than wait: what is asked while Redis is away, or was asked when the
 * connection broke, rejects at once and is never sent again by itself. It reconnects for ever. An
 * outage is logged once, and its end.
 *
 * @param url `redis://` or `rediss://`, with the password if there is one; it is never logged
 */
export function connectRedis(url: string, log: Logger): Redis {
  const redis = new Redis(url, {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // By itself it would subscribe anew with nobody to hear that this failed, which ends the process.
    autoResubscribe: false,
    connectTimeout: connectTimeoutMs,
    socketTimeout: silenceMs,
    // With jitter, so that a fleet does not come back in one instant.
    retryStrategy: (attempt) =>
      Math.min(firstRetryMs * 2 ** (attempt - 1), longestRetryMs) * (0.8 + 0.4 * Math.random()),
  })
  const address = addressOf(redis)
  let lastError: Error | undefined
  // Of an error only the message is taken: a refused AUTH carries its arguments, and so the password.
  redis.on('error', (error: Error) => {
    lastError = error
  })
  redis.on('close', () => {
    if (redis.status === 'end') return
    const reason = lastError === undefined ? 'it closed the connection' : textOf(lastError)
    if (!failures.has(redis)) log.warn({ redis: address, reason }, 'Redis is away, trying again for ever')
    failures.set(redis, reason)
    lastError = undefined
  })
  redis.on('ready', () => {
    if (failures.delete(redis)) log.info({ redis: address }, 'Redis is back')
  })
  return redis
}

/**
 * Resolves when Redis answers. A client that is still making its first connection is waited for.
 *
 * @throws Error one line: which Redis, and what is wrong with it
 */
export async function checkRedis(redis: Redis, timeoutMs = 2000): Promise<void> {
  const signal = AbortSignal.timeout(timeoutMs)
  try {
    if (redis.status !== 'ready' && !failures.has(redis)) {
      await Promise.race([once(redis, 'ready', { signal }), once(redis, 'close', { signal })])
    }
    if (redis.status !== 'ready') throw new Error(failures.get(redis) ?? 'it is not ready')
    await Promise.race([redis.ping(), once(signal, 'abort')])
    signal.throwIfAborted()
  } catch (error) {
    const reason = signal.aborted ? `no answer within ${timeoutMs} ms` : textOf(error)
    throw new Error(`Redis at ${addressOf(redis)}: ${reason}`, { cause: error })
  }
}

const gathering = new WeakSet<Redis['stream']>()

/**
 * What this turn of the event loop asks leaves in one write: one packet, one system call. A pipeline would do so for
 * one asker, at three times the CPU.
 */
export function writeTogether({ stream }: Redis): void {
  // Before the first connection there is none.
  if ((stream as typeof stream | undefined) === undefined || gathering.has(stream)) return
  gathering.add(stream)
  stream.cork()
  setImmediate(() => {
    gathering.delete(stream)
    stream.uncork()
  })
}

/**
 * Runs a pipeline or a transaction.
 *
 * @returns the replies, without MULTI's and QUEUED's
 * @throws RedisAway for the first command that failed
 */
export async function replies(commands: ChainableCommander): Promise<unknown[]> {
  const results = await answered(commands.exec())
  if (results === null) throw new RedisAway('Redis discarded the transaction')
  return results.map(([error, reply]) => {
    if (error) throw away(error)
    return reply
  })
}

/** @throws RedisAway instead of what the client rejects with */
export async function answered<T>(reply: Promise<T>): Promise<T> {
  try {
    return await reply
  } catch (error) {
    throw away(error)
  }
}

function away(error: unknown): RedisAway {
  // `READONLY You can't write against a read only replica.`: the first word is the reason's code.
  const refusal =
    error instanceof Error && error.name === 'ReplyError' ? error.message.split(' ')[0] : undefined
  const message = refusal === undefined ? 'Redis is away' : `Redis refuses: ${refusal}`
  return new RedisAway(message, { cause: error })
}

function addressOf({ options }: Redis): string {
  return `${options.host ?? ''}:${options.port ?? ''}`
}

/** A host with several addresses fails with an AggregateError, which has no message of its own. */
function textOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(textOf).join(', ')
  return error instanceof Error ? error.message : String(error)
}
