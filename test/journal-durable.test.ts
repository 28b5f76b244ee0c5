import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { temporaryFolder } from './support/services.js'

const script = fileURLToPath(new URL('support/journal-process.js', import.meta.url))
const isTraceable = spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0

// A process that is killed loses nothing that the operating system has; a machine that loses power does. Only the
// calls to the operating system tell the two apart.
t.test(
  'a record counts as kept when the disk has it, not when the operating system has it',
  { skip: isTraceable ? false : 'strace is not here, or may not be used' },
  async (t) => {
    const dir = await temporaryFolder(t)
    const trace = join(dir, 'trace')
    const calls = 'trace=openat,pwrite64,pwritev,write,fdatasync,fsync'
    const command = [process.execPath, script, join(dir, 'journal'), 'one']
    const child = spawn('strace', ['-f', '-e', calls, '-o', trace, ...command], {
      stdio: ['pipe', 'ignore', 'inherit'],
      env: { PATH: process.env.PATH },
    })
    await once(child, 'exit')
    const lines = (await readFile(trace, 'utf8')).split('\n')
    const begin = lines.findIndex((line) => line.includes('write(1, "appending'))
    const end = lines.findIndex((line) => line.includes('write(1, "kept one'))
    t.ok(begin >= 0 && end > begin)
    const between = lines.slice(begin, end)
    // What makes the pages of a record count is written behind them, to a file that flushes each write.
    const [, sealing = 'none'] =
      lines.map((line) => /openat\(.*data\.mdb".*O_DSYNC.*\) = (\d+)$/.exec(line)).find(Boolean) ?? []
    const isSeal = (line: string) => line.includes(`pwrite64(${sealing}, `)
    const written = between.findLastIndex((line) => /\bpwrite(?:64|v)\(/.test(line) && !isSeal(line))
    const flushed = between.findLastIndex((line) => /\bf(?:data)?sync\b.*= 0$/.test(line))
    t.ok(written >= 0 && flushed > written, 'the pages of the record are flushed')
    t.ok(between.findLastIndex(isSeal) > flushed, 'and so is what points to them')
  },
)
