import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { CallUnreachable, type Nodes } from '../../common/live-call.js'
import { answerText, questionText, readAnswer, readQuestion, type Ask, type Question } from './messages.js'

export interface AskingOptions {
  /** The name of this node. */
  readonly node: string
  readonly redis: Redis
  /** A connection that does nothing else: it hears what the others ask, and answer. */
  readonly subscriber: Redis
  readonly log: Logger
  /** What this node says. What it throws is logged, and not answered. */
  readonly answer: (ask: Ask) => Promise<unknown>
  /** How long all others together have to answer, in ms. Default 1,000. */
  readonly waitMs?: number
}

/** Of what this node asks at the same time. */
const mostQuestions = 200
/** A connection on which this is not answered is made anew: nobody would notice, as nothing else is said on it. In ms. */
const pingMs = 10_000

interface Pending {
  /** @returns true: nobody else need answer */
  readonly take: (node: string, value: unknown) => boolean
}

/** What the others said, each by its node's name; one that is no answer to the question was passed over. */
export interface Heard<T> {
  readonly answers: ReadonlyMap<string, T>
  /** This node is counted with them. */
  readonly nodes: Nodes
}

const redisAway = 'Redis is away: no other server could be asked'
const tooMany = 'No other server could be asked: too many questions wait for answers'

/**
 * Asks the other nodes something, by Redis: the question goes to a channel that all nodes hear, each answer to a channel
 * of whoever asked. How many have heard it is what PUBLISH answers, so that it is known how many answers to await. Redis
 * keeps nothing of it, and a call costs nothing because of it.
 */
export class Asking {
  readonly #options: AskingOptions
  readonly #waitMs: number
  readonly #channel: string
  readonly #pending = new Map<string, Pending>()
  readonly #ping: NodeJS.Timeout
  #isHearing = false
  #isRefused = false

  /** Begins at once to answer. */
  constructor(options: AskingOptions) {
    const { redis, subscriber, waitMs = 1_000 } = options
    this.#options = options
    this.#waitMs = waitMs
    // Redis' channels are those of all its databases: other servers may have another one of the same Redis.
    this.#channel = `linger:${redis.options.db ?? 0}:ask`
    subscriber.on('message', (channel: string, message: string) => {
      if (channel === this.#channel) this.#hear(message, 'all')
      else this.#hear(message, 'this one')
    })
    subscriber.on('ready', this.#subscribe)
    subscriber.on('close', this.#deaf)
    if (subscriber.status === 'ready') this.#subscribe()
    this.#ping = setInterval(() => {
      // What fails closes the connection, and is tried again by the client.
      if (this.#isHearing) subscriber.ping().catch(() => undefined)
    }, pingMs).unref()
  }

  close(): void {
    clearInterval(this.#ping)
    this.#isHearing = false
    this.#options.subscriber.off('ready', this.#subscribe)
    this.#options.subscriber.disconnect()
  }

  /** Whether others can be asked. */
  get isHearing(): boolean {
    return this.#isHearing
  }

  /**
   * @param read what is said, or undefined for what is no answer to this
   * @param isEnough whether an answer makes all others needless: they are neither waited for nor missed
   */
  async everybody<T>(
    ask: Ask,
    read: (value: unknown) => T | undefined,
    isEnough: (answer: T) => boolean = () => false,
  ): Promise<Heard<T>> {
    const answers = new Map<string, T>()
    const heardBy = await this.#ask(this.#channel, ask, this.#waitMs, (node, value) => {
      const answer = node === this.#options.node ? undefined : read(value)
      if (answer === undefined) return false
      answers.set(node, answer)
      return isEnough(answer)
    })
    const answered = answers.size + 1
    if ([...answers.values()].some(isEnough))
      return { answers, nodes: { asked: answered, answered, trouble: null } }
    if (typeof heardBy === 'string')
      return { answers, nodes: { asked: answered, answered, trouble: heardBy } }
    const asked = Math.max(heardBy, answered)
    const missing = asked - answered
    const trouble = `${missing} of ${asked} servers did not answer within ${this.#waitMs} ms`
    return { answers, nodes: { asked, answered, trouble: missing === 0 ? null : trouble } }
  }

  /** @throws CallUnreachable */
  async one<T>(
    node: string,
    ask: Ask,
    read: (value: unknown) => T | undefined,
    withinMs: number,
  ): Promise<T> {
    let answer: T | undefined
    const heardBy = await this.#ask(this.#channelOf(node), ask, withinMs, (from, value) => {
      if (from === node) answer = read(value)
      return false
    })
    if (answer !== undefined) return answer
    if (typeof heardBy === 'string') throw new CallUnreachable(heardBy)
    const why =
      heardBy === 0 ? 'is not there any more' : 'did not answer: what was asked for may be done, or not'
    throw new CallUnreachable(`The server ${node}, which has the call, ${why}`)
  }

  /**
   * @param take is given each answer, once a node, and says whether it is enough
   * @returns by how many it was heard, once they have answered or the time is over; or why nobody could be asked
   */
  async #ask(channel: string, ask: Ask, withinMs: number, take: Pending['take']): Promise<number | string> {
    const { node, redis } = this.#options
    if (!this.#isHearing) return redisAway
    if (this.#pending.size >= mostQuestions) return tooMany
    const id = randomUUID()
    const from = new Set<string>()
    let heardBy: number | undefined
    let done: () => void = () => undefined
    const all = new Promise<void>((resolve) => {
      done = resolve
    })
    const timer = setTimeout(done, withinMs)
    this.#pending.set(id, {
      take: (answering, value) => {
        if (from.has(answering)) return false
        from.add(answering)
        const isEnough = take(answering, value)
        if (isEnough || (heardBy !== undefined && from.size >= heardBy)) done()
        return isEnough
      },
    })
    try {
      const published = redis.publish(channel, questionText({ id, from: node, ask })).then(
        (receivers) => {
          heardBy = receivers
          if (from.size >= receivers) done()
        },
        () => {
          // Its client says so.
          done()
        },
      )
      await Promise.race([all, published.then(() => all)])
      return heardBy ?? redisAway
    } finally {
      clearTimeout(timer)
      this.#pending.delete(id)
    }
  }

  #channelOf(node: string): string {
    return `${this.#channel.slice(0, -'ask'.length)}node:${node}`
  }

  readonly #subscribe = (): void => {
    const { subscriber, node, log } = this.#options
    subscriber.subscribe(this.#channel, this.#channelOf(node)).then(
      () => {
        this.#isHearing = true
        this.#isRefused = false
      },
      (error: unknown) => {
        if (subscriber.status === 'ready' && !this.#isRefused)
          log.warn({ err: error }, 'Redis does not let servers ask each other for their calls')
        this.#isRefused = subscriber.status === 'ready'
      },
    )
  }

  readonly #deaf = (): void => {
    this.#isHearing = false
  }

  #hear(message: string, whom: 'all' | 'this one'): void {
    const question = readQuestion(message)
    if (question !== undefined) {
      // One's own question, heard by oneself, is one that need not be waited for.
      if (question.from !== this.#options.node) this.#answer(question)
      else if (whom === 'all') this.#pending.get(question.id)?.take(question.from, undefined)
      return
    }
    const answer = whom === 'this one' ? readAnswer(message) : undefined
    if (answer !== undefined) this.#pending.get(answer.id)?.take(answer.node, answer.value)
  }

  #answer({ id, from, ask }: Question): void {
    const { node, redis, answer, log } = this.#options
    // What it throws at once must not end the process either.
    Promise.resolve()
      .then(() => answer(ask))
      .then((value) => redis.publish(this.#channelOf(from), answerText({ id, node, value })))
      .catch((error: unknown) => {
        log.warn({ err: error, from, about: ask.about }, 'what another server asked was not answered')
      })
  }
}
