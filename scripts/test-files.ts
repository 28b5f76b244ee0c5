import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import t from 'tap'

/**
 * Runs test files, each in a process of its own, and tells of them in TAP. `tap run` would do, but it gives every
 * process, and those that a test starts, module hooks for mocks and coverage, which nothing here uses and which
 * cost about a third of the CPU of a run.
 */

const root = fileURLToPath(new URL('../..', import.meta.url))
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** How many files run at once. */
    jobs: { type: 'string', default: '3' },
    /** Seconds for a file. */
    timeout: { type: 'string', default: '90' },
  },
})

/** How long each file took when it was run last, in ms. */
const timesFile = join(root, 'node_modules/.cache/linger/test-times.json')
const times = new Map(Object.entries(lastTimes()))

function lastTimes(): Record<string, number> {
  try {
    return JSON.parse(readFileSync(timesFile, 'utf8')) as Record<string, number>
  } catch {
    return {}
  }
}

/**
 * Those first that took longest the last time, for none of them shall run alone at the end; before them what was never
 * run: those that start servers, then the longest texts.
 */
async function allFiles(): Promise<string[]> {
  const folder = join(root, 'dist/test')
  const names = (await readdir(folder)).filter((name) => name.endsWith('.test.js'))
  const files = await Promise.all(
    names.map(async (name) => {
      const file = join(folder, name)
      const text = await readFile(file, 'utf8')
      const startsServers = /support\/(?:linger|transfers)\.js/.test(text)
      const ms = times.get(relative(root, file)) ?? Infinity
      return { file, ms, startsServers, size: text.length }
    }),
  )
  return files
    .sort(
      (one, other) =>
        // Two that were never run are Infinity each.
        (one.ms === other.ms ? 0 : other.ms - one.ms) ||
        Number(other.startsServers) - Number(one.startsServers) ||
        other.size - one.size,
    )
    .map(({ file }) => file)
}

t.setTimeout(0)
t.jobs = Number(values.jobs)
const files: ReturnType<typeof t.spawn>[] = []
for (const file of positionals.length > 0 ? positionals : await allFiles()) {
  // tap puts its hooks into NODE_OPTIONS of whatever it starts.
  const command = ['-u', 'NODE_OPTIONS', process.execPath, '--enable-source-maps', file]
  const name = relative(root, file)
  const running = t.spawn('env', command, {
    name,
    cwd: root,
    // A test file has a limit of its own, which it takes from here.
    env: { ...process.env, TAP_TIMEOUT: values.timeout },
    buffered: true,
    timeout: Number(values.timeout) * 1000,
  })
  files.push(running)
  void running.finally(() => {
    const { subtest } = running
    if (subtest?.results?.ok === true) times.set(name, Math.round(subtest.time))
  })
}
process.on('exit', () => {
  try {
    mkdirSync(dirname(timesFile), { recursive: true })
    writeFileSync(timesFile, JSON.stringify(Object.fromEntries(times)))
  } catch {
    // The next run has another order, nothing else.
  }
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    for (const { subtest } of files) subtest?.proc?.kill(signal)
    t.bailout(signal)
  })
}
