import { randomInt } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Checks } from './checks.js'
import { Killer } from './killer.js'
import { longTalk } from './plans.js'
import { Random } from './random.js'
import { describeHit } from './report.js'
import { playRound, schedule, type Round } from './rounds.js'
import { settle } from './settle.js'
import { components, states, type Component } from './states.js'
import { stories } from './stories.js'
import { verify } from './verify.js'
import { sliceSeconds, World } from './world.js'

/**
 * `npm run test:crash`: SIGKILLs servers, PostgreSQL, Redis and (where there is one) RabbitMQ, and cuts the switch's link, while calls are in each
 * of their states; then every call must have its record, each once, to the last unit.
 *
 *     --seed N      what comes again: when what dies, and which calls come
 *     --kills N     default 210
 *     --only NAMES  components, with commas between; none: nothing dies
 *     --keep        leaves the folder with the data and the logs
 */
const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    kills: { type: 'string', default: '210' },
    only: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
})
const startedAt = performance.now()

function say(text: string): void {
  console.log(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}`)
}

/** From so many kills on each component must have found calls in each state. */
const wholeKills = 200
/** The share of the rounds in which one server is alone. */
const aloneShare = 0.6

async function main(): Promise<number> {
  const seed = Number(values.seed ?? randomInt(1, 2 ** 31))
  const kills = Number(values.kills)
  const dir = await mkdtemp(join(tmpdir(), 'linger-crash-'))
  // Whom PostgreSQL runs as passes through, where that is not this user.
  await chmod(dir, 0o711)
  console.log(`seed ${seed}: npm run test:crash -- --seed ${seed} --kills ${kills}\ndata and logs in ${dir}`)
  const random = new Random(seed)
  const world = await World.create(dir, random)
  process.on('exit', () => {
    world.abandon()
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))
  const checks = new Checks()
  try {
    const [first, second] = world.nodes
    await first.start()
    const killer = new Killer(world)
    const all = schedule(kills, chosen(), states, random)
    const alone = Math.round(all.length * aloneShare)
    say('one server')
    await play(world, killer, all.slice(0, alone), seed)
    await second.start()
    world.servers = [first, second]
    say('two servers')
    await play(world, killer, all.slice(alone), seed + kills)
    await tell(world, killer, seed)
    const settled = await settle(world, say)
    const isWhole = values.only === undefined && kills >= wholeKills
    await verify({ world, killer, settled, checks, isWhole })
  } finally {
    await world.close()
  }
  const isKept = values.keep || checks.failed.length > 0
  if (isKept) console.log(`\ndata and logs stay in ${dir}`)
  else await rm(dir, { recursive: true, force: true })
  say('done')
  console.log(checks.closingLine())
  return checks.failed.length === 0 ? 0 : 1
}

function chosen(): (Component | undefined)[] {
  if (values.only === 'none') return [undefined]
  const only = values.only?.split(',')
  return components.filter((component) => only === undefined || only.includes(component))
}

async function play(world: World, killer: Killer, rounds: readonly Round[], seed: number): Promise<void> {
  world.dial(longTalk(new Random(seed), sliceSeconds * 1000))
  for (const [index, round] of rounds.entries()) {
    const before = killer.kills.length
    // Each round has its own choices: that one took another way changes nothing in the next.
    await playRound(world, killer, round, new Random(seed + index * 7919))
    for (const { number, component, aim, hit } of killer.kills.slice(before))
      say(`kill ${number}: ${component}, ${aim ?? 'meanwhile'}; calls: ${describeHit(hit) || 'none'}`)
  }
}

/** Those that go wrong in a way of their own. */
async function tell(world: World, killer: Killer, seed: number): Promise<void> {
  for (const [index, [name, story]] of Object.entries(stories).entries()) {
    await world.allDone()
    for (const call of await story(world, killer, new Random(seed - index))) call.story = name
    say(name)
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error)
  // As a run of which CI counts one failure.
  console.log('# { total: 1, fail: 1 }')
  process.exitCode = 1
}
