import type { Hit } from './crash-call.js'
import type { Fault, Verdict } from './judge.js'
import type { Kill } from './killer.js'
import { between, components, states, type AnyState, type Component } from './states.js'

const faults: readonly Fault[] = ['lost', 'doubled', 'ended', 'wrong']

/** `talking 7, ringing 2` */
export function describeHit(hit: ReadonlyMap<AnyState, number>): string {
  return [...states, ...between]
    .flatMap((state) => {
      const count = hit.get(state)
      return count === undefined ? [] : [`${state} ${count}`]
    })
    .join(', ')
}

/**
 * The matrix, in Markdown: a row a component, a column a state; in each cell how many kills found calls there, and
 * how many calls. Behind them what became of the calls that were hit.
 */
export function matrix(kills: readonly Kill[], verdicts: readonly Verdict[]): string {
  const columns: readonly AnyState[] = [...states, ...between]
  const lines = [
    ['', 'kills', ...columns, ...faults],
    ['---', ...Array.from({ length: 1 + columns.length + faults.length }, () => '---:')],
    ...components.map((component) => row(component, kills, verdicts, columns)),
  ]
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** Where one of the components never found a call. */
export function emptyCells(kills: readonly Kill[]): string[] {
  return components.flatMap((component) =>
    states
      .filter((state) => !kills.some((kill) => kill.component === component && kill.hit.has(state)))
      .map((state) => `${component} while ${state}`),
  )
}

function row(
  component: Component,
  kills: readonly Kill[],
  verdicts: readonly Verdict[],
  columns: readonly AnyState[],
): string[] {
  const own = kills.filter((kill) => kill.component === component)
  const cells = columns.map((state) => {
    const counts = own.flatMap(({ hit }) => hit.get(state) ?? [])
    return counts.length === 0 ? '0' : `${counts.length} (${counts.reduce((sum, count) => sum + count, 0)})`
  })
  const struck = verdicts.filter(({ call }) => call.hits.some((hit) => hit.component === component))
  const wrong = faults.map((fault) =>
    String(struck.filter((verdict) => verdict.faults.some((each) => each.fault === fault)).length),
  )
  return [component, String(own.length), ...cells, ...wrong]
}

/** One call with a fault, and what it went through. */
export function describeFault({ call, faults }: Verdict): string {
  const hits = runs(call.hits).map(({ first, last, component, state }) =>
    first === last ? `#${first} ${component} while ${state}` : `#${first}-#${last} while ${state}`,
  )
  const what = faults.map((each) => `${each.fault}: ${each.what}`).join('; ')
  const whose = `${call.story === undefined ? '' : `${call.story}: `}${call.plan.kind}, ${call.plan.tenant?.id ?? 'no tenant'}`
  return `${call.uuid} (${whose}): ${what} [${hits.join('; ') || 'no kill'}]`
}

interface Run {
  readonly first: number
  last: number
  readonly component: Component
  readonly state: AnyState
}

/** What died one after the other while the call stayed in one state. */
function runs(hits: readonly Hit[]): Run[] {
  const all: Run[] = []
  for (const { kill, component, state } of hits) {
    const run = all.at(-1)
    if (run?.state === state) run.last = kill
    else all.push({ first: kill, last: kill, component, state })
  }
  return all
}
