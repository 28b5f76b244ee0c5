import { kinds, type Kind } from './options.js'
import type { CpuResult, MemoryResult, Results } from './measure.js'
import { table } from './table.js'

/** What a release must reach: shares of the `esl` package's CPU, measured in the same run, and bytes. */
export const targets = {
  cpuOfEsl: { b: 0.4, d: 0.6 } as Results<number>,
  bytesPerCall: { b: 25_000, d: 25_000 } as Results<number>,
}

export function cpuTable(results: Results<CpuResult>): string {
  const peer = results.c?.cpuMsPerCall
  const rows = entries(results).map(([kind, result]) => {
    const share = peer === undefined ? undefined : result.cpuMsPerCall / peer
    return [
      title(kind),
      result.cpuMsPerCall.toFixed(3),
      `${Math.min(...result.rounds).toFixed(3)}–${Math.max(...result.rounds).toFixed(3)}`,
      share === undefined ? '' : share.toFixed(2),
      verdict(share, targets.cpuOfEsl[kind], (value) => value.toFixed(2)),
      result.callsPerSecond.toFixed(0),
      result.callsPerSecondAndCore.toFixed(0),
      `${result.switchCpuPercent.toFixed(0)} %`,
    ]
  })
  const heads = [
    'CPU of the server process',
    'ms/call',
    'least–most',
    'of (c)',
    'target',
    'calls/s',
    'a core',
    'switch',
  ]
  return table(heads, rows)
}

export function memoryTable(results: Results<MemoryResult>): string {
  const rows = entries(results).map(([kind, result]) => [
    title(kind),
    kilo(result.rssPerCall),
    verdict(result.rssPerCall, targets.bytesPerCall[kind], kilo),
    kilo(result.heapPerCall),
    kilo(result.externalPerCall),
  ])
  return table(['Memory of a call held open, kB', 'RSS', 'target', 'heap', 'buffers'], rows)
}

function entries<T>(results: Results<T>): [Kind, T][] {
  return Object.entries(results) as [Kind, T][]
}

function title(kind: Kind): string {
  return `(${kind}) ${kinds[kind].title}`
}

function kilo(bytes: number): string {
  return (bytes / 1000).toFixed(1)
}

function verdict(
  value: number | undefined,
  target: number | undefined,
  show: (value: number) => string,
): string {
  if (value === undefined || target === undefined) return ''
  return `${show(target)} ${value <= target ? 'met' : 'MISSED'}`
}
