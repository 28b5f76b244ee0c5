import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'

/**
 * How requests are checked against the schemas of their routes: nothing is coerced and nothing dropped,
 * except that a path's and a query's texts become the numbers that their schema asks for.
 */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = Compile(schema)
  return (value: unknown) => {
    const read = httpPart === 'body' ? value : withNumbers(schema, value)
    return validator.Check(read) ? { value: read } : { error: validator.Errors(read) }
  }
}

const wholeNumber = /^-?[0-9]{1,15}$/

function withNumbers(schema: TSchema, value: unknown): unknown {
  const { properties = {} } = schema as { properties?: Record<string, { type?: string }> }
  const fields = Object.entries(value as Record<string, unknown>)
  return Object.fromEntries(
    fields.map(([name, text]) => {
      const isNumber =
        properties[name]?.type === 'integer' && typeof text === 'string' && wholeNumber.test(text)
      return [name, isNumber ? Number(text) : text]
    }),
  )
}
