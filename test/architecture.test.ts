import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

/**
 * The rooms, each with those that it may know: arrows run downwards only. What stands directly in src/ puts
 * the rooms together and may know all of them.
 */
const mayKnow: Readonly<Record<string, readonly string[]>> = {
  common: [],
  esl: [],
  embedded: [],
  billing: [],
  numbering: ['esl'],
  channel: ['esl', 'numbering'],
  screening: ['numbering'],
  store: ['billing', 'numbering'],
  journal: ['embedded', 'store'],
  events: ['numbering', 'journal', 'store'],
  routes: ['esl', 'channel', 'numbering', 'events', 'store'],
  call: ['esl', 'channel', 'routes', 'numbering', 'screening', 'billing', 'events', 'journal', 'store'],
  admin: ['screening', 'store', 'billing', 'numbering', 'journal'],
  switch: ['call'],
  // A client of the API like any other.
  cli: [],
}
/** What any of them may know; it knows none of them. */
const leaf = 'common'
const maxLines = 300

const src = fileURLToPath(new URL('../../src/', import.meta.url))
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))

function room(file: string): string {
  return file.includes('/') ? (file.split('/')[0] ?? '') : ''
}

/** Files of src/ that a file of src/ imports. */
function imports(file: string): string[] {
  const text = readFileSync(join(src, file), 'utf8')
  return [...text.matchAll(/^(?:import|export) [^;]*?from '(\.[^']+)\.js'/gm)].map(([, path = '']) =>
    relative(src, join(src, dirname(file), `${path}.ts`)),
  )
}

t.test('each room knows only rooms below it', async (t) => {
  for (const file of files) {
    const own = room(file)
    if (own === '') continue
    t.ok(mayKnow[own], `${own}/ is a room of the design`)
    for (const imported of imports(file)) {
      const other = room(imported)
      if (other !== own && other !== leaf)
        t.ok(mayKnow[own]?.includes(other), `${file} may import ${imported}`)
    }
  }
})

t.test('a session does not know who watches over the calls that nobody serves', async (t) => {
  for (const file of files.filter((file) => file.startsWith('call/') && !file.startsWith('call/watch/'))) {
    t.same(
      imports(file).filter((imported) => imported.startsWith('call/watch/')),
      [],
      file,
    )
  }
})

t.test('no file imports itself by way of others', async (t) => {
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) {
      t.fail([...path.slice(path.indexOf(file)), file].join(' -> '))
      return
    }
    if (done.has(file)) return
    for (const imported of imports(file)) visit(imported, [...path, file])
    done.add(file)
  }
  for (const file of files) visit(file, [])
  t.equal(done.size, files.length)
})

t.test('a file of more than 300 lines is asked for its second subject', async (t) => {
  for (const file of files) {
    const lines = readFileSync(join(src, file), 'utf8').split('\n').length - 1
    t.ok(lines <= maxLines, `${file}: ${lines} lines`)
  }
})
