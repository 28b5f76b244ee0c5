import fc from 'fast-check'
import t from 'tap'
import { choiceOf, longestChoice } from '../src/routes/menu-choice.js'
import type { Choice } from '../src/store/flow.js'

const to = (menu: string): Choice => ({ menu })
const choices = {
  '1': to('one'),
  '12': to('twelve'),
  '9XX': to('nine'),
  '91X': to('ninety-one'),
  Z: to('any'),
  '*': to('star'),
  N0: to('tens'),
}

t.test('digits make the narrowest choice that fits them', (t) => {
  const table: readonly [digits: string, menu: string | undefined][] = [
    ['1', 'one'],
    ['12', 'twelve'],
    ['2', 'any'],
    ['0', undefined],
    ['*', 'star'],
    ['#', undefined],
    ['900', 'nine'],
    ['915', 'ninety-one'],
    ['9', 'any'],
    ['20', 'tens'],
    ['10', undefined],
    ['', undefined],
    ['X', undefined],
  ]
  for (const [digits, menu] of table)
    t.same(choiceOf({ choices }, digits), menu === undefined ? undefined : to(menu), JSON.stringify(digits))
  t.end()
})

t.test('a choice without wildcards is made by its own digits, and a wildcard by each of its digits', (t) => {
  const digits = fc.stringMatching(/^[0-9*]{1,6}$/)
  fc.assert(
    fc.property(digits, (dialled) => choiceOf({ choices: { [dialled]: to('it') } }, dialled) !== undefined),
  )
  fc.assert(
    fc.property(digits, digits, (pattern, dialled) => {
      const found = choiceOf({ choices: { [pattern]: to('it') } }, dialled) !== undefined
      return found === (pattern === dialled)
    }),
  )
  for (const digit of '0123456789') {
    t.equal(choiceOf({ choices: { X: to('x') } }, digit) !== undefined, true)
    t.equal(choiceOf({ choices: { Z: to('z') } }, digit) !== undefined, digit !== '0')
    t.equal(choiceOf({ choices: { N: to('n') } }, digit) !== undefined, digit > '1')
  }
  t.end()
})

t.test('the caller is waited for until nothing longer can be meant', (t) => {
  t.equal(longestChoice({ choices: { '1': to('a') }, directDial: false }), 1)
  t.equal(longestChoice({ choices, directDial: false }), 3)
  t.equal(longestChoice({ choices: {}, directDial: false }), 1)
  t.ok(longestChoice({ choices: {}, directDial: true }) >= 4)
  t.end()
})
