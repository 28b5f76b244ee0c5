import { writeFile } from 'node:fs/promises'
import { arch, cpus, release } from 'node:os'
import { fileURLToPath } from 'node:url'
import { checkCommitted } from './committed.js'
import { figureTargets, figuresReport } from './figures-report.js'
import { measureFigures } from './figures.js'
import { callsOf, measureCpu, measureMemory } from './measure.js'
import { parseOptions, usage, type Options } from './options.js'
import { Processes } from './processes.js'
import { cpuTable, memoryTable, targets } from './report.js'

/**
 * `npm run bench`: what a call costs the server, in CPU and memory, beside servers that do less and the one
 * of the `esl` package. Each server runs in a process of its own, the calls come from the simulated switch
 * in another one. Then the figures of single parts, with the machine's own limit beside each.
 */
async function main(options: Options): Promise<void> {
  checkOpenFiles(options)
  const processes = await Processes.start(options)
  try {
    const from = performance.now()
    const hasServers = options.kinds.length > 0
    const cpu =
      hasServers && options.measures.includes('cpu') ? await measureCpu(processes, options, progress) : {}
    const memory =
      hasServers && options.measures.includes('memory')
        ? await measureMemory(processes, options, progress)
        : {}
    const committed = options.kinds.includes('d')
      ? await checkCommitted(processes.services, callsOf(options))
      : undefined
    const figures = await measureFigures(options, processes, progress)
    progress('')
    const { rounds, calls, parallel, held } = options
    const about = {
      date: new Date().toISOString(),
      node: process.version,
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      system: `${process.platform} ${release()} ${arch()}`,
      redis: processes.services?.redisKind,
      seconds: Math.round((performance.now() - from) / 1000),
      rounds,
      calls,
      parallel,
      held,
      committed,
    }
    const file = new URL('../../../bench-results.json', import.meta.url)
    const results = { about, targets: { ...targets, ...figureTargets }, cpu, memory, figures }
    await writeFile(file, `${JSON.stringify(results, undefined, 2)}\n`)
    console.log(`${about.cores} × ${about.cpu}, Node ${about.node}, ${about.system}`)
    if (Object.keys(cpu).length > 0) {
      console.log(
        `\nThe median of ${rounds} rounds of ${calls} calls, ${parallel} at a time\n\n${cpuTable(cpu)}`,
      )
      console.log(
        '\ncalls/s: as they were played; a core: what the server could take alone; switch: the CPU of the switch, whose speed it is near 100 %',
      )
    }
    if (Object.keys(memory).length > 0) console.log(`\n${held} calls that talk\n\n${memoryTable(memory)}`)
    if (committed !== undefined)
      console.log(
        `\n(d) left ${committed.cdrs} CDRs and ${committed.debits} debits of ${committed.spent} VND`,
      )
    for (const text of figuresReport(figures)) console.log(`\n${text}`)
    console.log(`\nAll of it is in ${fileURLToPath(file)}`)
  } finally {
    await processes.stop()
  }
}

/** One line that is written over, on a terminal; a line each elsewhere. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
  else if (text !== '') process.stderr.write(`${text}\n`)
}

/** Node raises its own limit to the hard one at its start. */
function checkOpenFiles({ kinds, held, measures }: Options): void {
  const report = process.report.getReport() as {
    userLimits?: { open_files?: { hard: number | 'unlimited' } }
  }
  const hard = report.userLimits?.open_files?.hard ?? 'unlimited'
  const needed = held + 200
  if (kinds.length > 0 && measures.includes('memory') && hard !== 'unlimited' && hard < needed)
    throw new Error(
      `${held} calls need ${needed} open files, the limit is ${hard}: raise it (ulimit -Hn), or use --held`,
    )
}

try {
  const options = parseOptions(process.argv.slice(2))
  if (options === 'help') console.log(usage)
  else await main(options)
} catch (error) {
  progress('')
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
