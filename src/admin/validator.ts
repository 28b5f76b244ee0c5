import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'

/**
 * How requests are checked against the schemas of their routes: nothing is coerced and nothing dropped,
 * except that a path's and a query's texts become the numbers, and true or false, that their schema asks for.
 */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = Compile(schema)
  return (value: unknown) => {
    const read = httpPart === 'body' ? value : withTypes(schema, value)
    return validator.Check(read) ? { value: read } : { error: validator.Errors(read) }
  }
}

const wholeNumber = /^-?[0-9]{1,15}$/

function withTypes(schema: TSchema, value: unknown): unknown {
  const { properties = {} } = schema as { properties?: Record<string, { type?: string }> }
  const fields = Object.entries(value as Record<string, unknown>)
  return Object.fromEntries(fields.map(([name, text]) => [name, typed(text, properties[name]?.type)]))
}

function typed(text: unknown, type: string | undefined): unknown {
  if (typeof text !== 'string') return text
  if (type === 'integer' && wholeNumber.test(text)) return Number(text)
  if (type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
  return text
}
