/** What is wrong with a field of a request: which one, what it is, and what it may be. */
export interface FieldError {
  /** `ttl_seconds`, `numbers[3]`, or `body` for the whole of it. */
  field: string
  detail: string
  /** Of a file: the first one is 1. */
  line?: number
}

/** An error as the validator gives it (the form of Ajv's). */
export interface Violation {
  keyword: string
  /** JSON pointer into the value. */
  instancePath: string
  /** JSON pointer into the schema. */
  schemaPath: string
  message: string
  params: { requiredProperties?: string[]; additionalProperties?: string[] }
}

/** As far as it is looked at here. */
interface Schema {
  type?: string
  /** What is allowed, in words, where a pattern says it to programs alone. */
  'x-allowed'?: string
  anyOf?: Schema[]
  uniqueItems?: boolean
  properties?: Record<string, Schema>
  patternProperties?: Record<string, Schema>
  items?: Schema
  oneOf?: { required?: string[] }[]
  enum?: unknown[]
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  minItems?: number
  maxItems?: number
}

/** More of a wrong value would not help its reader. */
const longestEcho = 60

/** One error a field that is at fault; the schema says what is allowed. */
export function fieldErrors(failed: {
  violations: Violation[]
  schema: unknown
  value: unknown
}): FieldError[] {
  const schema = failed.schema as Schema
  const errors = new Map<string, FieldError>()
  const note = (field: string, detail: string) => {
    if (!errors.has(field)) errors.set(field, { field, detail })
  }
  const choices = new Set(
    failed.violations.flatMap(({ keyword, instancePath }) => (keyword === 'anyOf' ? instancePath : [])),
  )
  for (const { keyword, instancePath, schemaPath, message, params } of failed.violations) {
    // The branches of a oneOf and the `false` behind an unknown field are told by their parents.
    if (keyword === 'boolean' || schemaPath.includes('/oneOf/')) continue
    if (isToldByChoice(schema, schemaPath, instancePath, choices)) continue
    const steps = stepsOf(instancePath)
    const at = find(schema, steps)
    if (keyword === 'additionalProperties') {
      const patterns = Object.keys(at?.patternProperties ?? {}).map((pattern) => `those of ${pattern}`)
      const known = [...Object.keys(at?.properties ?? {}), ...patterns].join(', ')
      for (const name of params.additionalProperties ?? [])
        note(fieldName([...steps, name]), `is unknown; allowed are ${known === '' ? 'none' : known}`)
    } else if (keyword === 'required') {
      for (const name of params.requiredProperties ?? []) note(fieldName([...steps, name]), 'is missing')
    } else if (keyword === 'oneOf') {
      if (errors.has(fieldName(steps))) continue
      const choices = (at?.oneOf ?? []).flatMap(({ required }) => required ?? [])
      for (const name of choices)
        note(fieldName([...steps, name]), `exactly one of ${choices.join(', ')} is needed`)
    } else {
      const value = valueAt(failed.value, steps)
      const allowed = at && allowedBy(at)
      note(
        fieldName(steps),
        `is ${echo(value)}; ${allowed === undefined ? message : `allowed is ${allowed}`}`,
      )
    }
  }
  return [...errors.values()]
}

/**
 * A choice of several shapes is told as a whole; what may only be null besides is told by what is wrong inside of it.
 *
 * @param choices JSON pointers to the values that none of their shapes fits
 */
function isToldByChoice(
  schema: Schema,
  schemaPath: string,
  instancePath: string,
  choices: Set<string>,
): boolean {
  const steps = stepsOf(schemaPath)
  const at = steps.indexOf('anyOf')
  // None, or the choice itself.
  if (at < 0 || at === steps.length - 1) return false
  const chosen = steps
    .slice(0, at)
    .reduce<unknown>((inner, step) => (inner as Record<string, unknown> | undefined)?.[step], schema)
  const shapes = (chosen as Schema | undefined)?.anyOf?.filter(({ type }) => type !== 'null') ?? []
  return shapes.length !== 1 || choices.has(instancePath)
}

/** A client's value as it is shown back to it. */
export function echo(value: unknown): string {
  return shortened(value === undefined ? 'missing' : JSON.stringify(value))
}

function shortened(text: string): string {
  return text.length > longestEcho ? `${text.slice(0, longestEcho)}…` : text
}

function allowedBy(schema: Schema): string | undefined {
  if (schema['x-allowed'] !== undefined) return schema['x-allowed']
  if (schema.anyOf) return schema.anyOf.flatMap((branch) => allowedBy(branch) ?? []).join(', or ')
  if (schema.enum) return `one of ${schema.enum.map((value) => JSON.stringify(value)).join(', ')}`
  switch (schema.type) {
    case 'integer':
      return `a whole number${range(schema.minimum, schema.maximum)}`
    case 'number':
      return `a number${range(schema.minimum, schema.maximum)}`
    case 'string':
      return `a text${range(schema.minLength, schema.maxLength, ' characters')}`
    case 'array':
      return `a list${range(schema.minItems, schema.maxItems, ' entries')}${schema.uniqueItems ? ', each once' : ''}`
    case 'null':
      return 'null'
    case 'boolean':
      return 'true or false'
    case 'object':
      return `an object with ${Object.keys(schema.properties ?? {}).join(', ')}`
    default:
      return undefined
  }
}

function range(least: number | undefined, most: number | undefined, unit = ''): string {
  if (least !== undefined && most !== undefined) return ` of ${least} to ${most}${unit}`
  if (least !== undefined) return ` of ${least}${unit} or more`
  if (most !== undefined) return ` of ${most}${unit} at most`
  return ''
}

function stepsOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function find(schema: Schema, steps: string[]): Schema | undefined {
  return steps.reduce<Schema | undefined>((at, step) => at && within(at, step), schema)
}

function within(schema: Schema, step: string): Schema | undefined {
  const { properties, items, anyOf = [] } = schema
  return (
    properties?.[step] ??
    ofPattern(schema, step) ??
    items ??
    anyOf.map((branch) => within(branch, step)).find((at) => at !== undefined)
  )
}

function ofPattern({ patternProperties = {} }: Schema, name: string): Schema | undefined {
  return Object.entries(patternProperties).find(([pattern]) => new RegExp(pattern).test(name))?.[1]
}

function valueAt(value: unknown, steps: string[]): unknown {
  return steps.reduce<unknown>(
    (at, step) =>
      typeof at === 'object' && at !== null && Object.hasOwn(at, step)
        ? (at as Record<string, unknown>)[step]
        : undefined,
    value,
  )
}

function fieldName(steps: string[]): string {
  if (steps.length === 0) return 'body'
  const name = steps.reduce((path, step) => {
    if (/^[0-9]+$/.test(step)) return `${path}[${step}]`
    return path === '' ? step : `${path}.${step}`
  }, '')
  return shortened(name)
}
