import fc from 'fast-check'
import t from 'tap'
import { Progress } from '../src/call/progress.js'

t.test('a route that runs anew is told what it was told before, and then goes on by itself', async (t) => {
  const first = new Progress()
  t.equal(await first.once('menu:main', () => 3), 3)
  t.equal(await first.once('choice:main', () => Promise.resolve('2')), '2')
  const second = new Progress(first.steps)
  const never = () => t.fail('it does not happen a second time') as never
  t.equal(await second.once('menu:main', never), 3)
  t.equal(await second.once('choice:main', never), '2')
  t.equal(await second.once('menu:sales', () => 1), 1)
  t.same(second.steps, [...first.steps, { name: 'menu:sales', value: 1 }])
})

t.test('where the flow was changed meanwhile, it goes on afresh', async (t) => {
  const progress = new Progress([
    { name: 'menu:main', value: 3 },
    { name: 'choice:main', value: '2' },
    { name: 'menu:sales', value: 1 },
  ])
  await progress.once('menu:main', () => 4)
  t.equal(await progress.once('hours:office', () => 'open'), 'open')
  t.equal(await progress.once('menu:sales', () => 9), 9, 'what came after was of another way')
})

t.test(
  'what the route has not come to yet is still remembered, for a server that dies on the way',
  async (t) => {
    const steps = [
      { name: 'a', value: 1 },
      { name: 'b', value: true },
    ]
    const progress = new Progress(steps)
    await progress.once('a', () => 2)
    t.same(progress.steps, steps)
  },
)

t.test('however often servers die on the way, a route is told the same', async () => {
  const way = fc.array(
    fc.record({ name: fc.string(), value: fc.oneof(fc.string(), fc.integer(), fc.boolean()) }),
  )
  await fc.assert(
    fc.asyncProperty(way, fc.array(fc.nat(20), { maxLength: 5 }), async (way, deaths) => {
      let progress = new Progress()
      for (const after of [...deaths, way.length]) {
        progress = new Progress(progress.steps)
        for (const { name, value } of way.slice(0, after)) {
          const told = await progress.once(name, () => value)
          if (told !== value) throw new Error('it was told something else')
        }
      }
      const expected = way.slice(
        0,
        Math.max(way.length, ...deaths.map((after) => Math.min(after, way.length))),
      )
      if (JSON.stringify(progress.steps) !== JSON.stringify(expected))
        throw new Error('something is forgotten')
    }),
  )
})
