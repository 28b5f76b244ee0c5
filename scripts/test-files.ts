import { readdir, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
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

/** The longest texts first: those take longest, and none of them shall run alone at the end. */
async function allFiles(): Promise<string[]> {
  const folder = join(root, 'dist/test')
  const names = (await readdir(folder)).filter((name) => name.endsWith('.test.js'))
  const files = await Promise.all(
    names.map(async (name) => ({ file: join(folder, name), size: (await stat(join(folder, name))).size })),
  )
  return files.sort((one, other) => other.size - one.size).map(({ file }) => file)
}

t.setTimeout(0)
t.jobs = Number(values.jobs)
const files: ReturnType<typeof t.spawn>[] = []
for (const file of positionals.length > 0 ? positionals : await allFiles()) {
  // tap puts its hooks into NODE_OPTIONS of whatever it starts.
  const command = ['-u', 'NODE_OPTIONS', process.execPath, '--enable-source-maps', file]
  const running = t.spawn('env', command, {
    name: relative(root, file),
    cwd: root,
    // A test file has a limit of its own, which it takes from here.
    env: { ...process.env, TAP_TIMEOUT: values.timeout },
    buffered: true,
    timeout: Number(values.timeout) * 1000,
  })
  files.push(running)
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    for (const { subtest } of files) subtest?.proc?.kill(signal)
    t.bailout(signal)
  })
}
