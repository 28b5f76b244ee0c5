import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { holdDataDir } from '../src/data-dir.js'
import { temporaryFolder } from './support/services.js'

const moduleUrl = new URL('../src/data-dir.js', import.meta.url).href

/** A process that holds the folder until it is ended. */
async function otherHolder(dir: string) {
  const script = `
    const { holdDataDir } = await import(${JSON.stringify(moduleUrl)})
    await holdDataDir(${JSON.stringify(dir)}).then(() => console.log('held'), (error) => console.log(error.message))
    process.stdin.resume()`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [said] = (await once(child.stdout, 'data')) as [Buffer]
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  return { said: said.toString().trim(), pid: child.pid ?? 0, kill }
}

t.test('a second server on the same folder is refused, in one line that names the first', async (t) => {
  const dir = await temporaryFolder(t)
  const held = await holdDataDir(dir)
  await t.rejects(holdDataDir(dir), {
    name: 'ServiceError',
    message: new RegExp(`^another Linger \\(process ${process.pid}\\) runs on this data .*$`),
  })
  const other = await otherHolder(dir)
  t.match(other.said, `another Linger (process ${process.pid})`)
  await other.kill()
  await held.release()
  await (await holdDataDir(dir)).release()
  t.same(await readdir(dir), [], 'nothing is left behind')
})

t.test('the folder of a server that was killed is free', async (t) => {
  const dir = await temporaryFolder(t)
  const other = await otherHolder(dir)
  t.equal(other.said, 'held')
  await t.rejects(holdDataDir(dir), { message: new RegExp(`process ${other.pid}`) })
  await other.kill()
  const held = await holdDataDir(dir)
  t.match(await readFile(join(dir, 'lock'), 'utf8'), `${process.pid} `)
  await held.release()
})

t.test('a lock that names a process which is somebody else’s by now counts for nothing', async (t) => {
  const dir = await temporaryFolder(t)
  for (const stale of [`${process.pid} another-boot:1\n`, '']) {
    await writeFile(join(dir, 'lock'), stale)
    const held = await holdDataDir(dir)
    t.match(await readFile(join(dir, 'lock'), 'utf8'), `${process.pid} `)
    await held.release()
  }
})

t.test('of many that start at once on a stale lock one gets the folder', async (t) => {
  const dir = await temporaryFolder(t)
  await writeFile(join(dir, 'lock'), '1 another-boot:1\n')
  const holders = await Promise.all(Array.from({ length: 6 }, () => otherHolder(dir)))
  t.equal(holders.filter(({ said }) => said === 'held').length, 1, holders.map(({ said }) => said).join('; '))
  await Promise.all(holders.map(({ kill }) => kill()))
})

t.test('a folder that cannot be used is named', async (t) => {
  const dir = await temporaryFolder(t)
  await writeFile(join(dir, 'file'), '')
  await t.rejects(holdDataDir(join(dir, 'file')), {
    name: 'ServiceError',
    message: new RegExp(`^DATA_DIR ${join(dir, 'file')} cannot be used: ENOTDIR`),
  })
})
