import type { ApiContract } from './openapi.js'

/** A request as openapi.json shows it by its examples. */
export interface ExampleRequest {
  operationId: string
  method: string
  url: string
  body?: unknown
  headers: Record<string, string>
  /** Whether the operation is told a tenant, in its path, its query or its body. */
  namesTenant: boolean
}

interface Parameter {
  name: string
  in: 'path' | 'query' | 'header'
  required?: boolean
  schema: Example
}

interface Example {
  type?: string
  format?: string
  examples?: unknown[]
  enum?: unknown[]
  default?: unknown
  properties?: Record<string, Example>
  minimum?: number
}

interface Media {
  schema: Example
  example?: unknown
  examples?: Record<string, { value: unknown }>
}

interface Described {
  operationId: string
  parameters?: Parameter[]
  requestBody?: { content: Record<string, Media> }
}

/** A request for each operation under /v1, with `tenant` wherever one is named. */
export function exampleRequests(contract: ApiContract, tenant: string): ExampleRequest[] {
  return contract.operations
    .filter(({ path }) => path.startsWith('/v1/'))
    .map(({ method, path, operation }) => {
      const { operationId, parameters = [], requestBody } = operation as unknown as Described
      const value = ({ name, schema }: Parameter) => (name === 'tenant' ? tenant : String(exampleOf(schema)))
      let url = path
      const query = new URLSearchParams()
      const headers: Record<string, string> = {}
      for (const parameter of parameters) {
        if (parameter.in === 'path')
          url = url.replace(`{${parameter.name}}`, encodeURIComponent(value(parameter)))
        else if (parameter.in === 'header') headers[parameter.name] = value(parameter)
        else if (parameter.required || parameter.name === 'tenant')
          query.set(parameter.name, value(parameter))
      }
      const [content] = Object.entries(requestBody?.content ?? {})
      const body = content && bodyOf(content[1], tenant)
      if (content) headers['content-type'] = content[0]
      return {
        ...{ operationId, method: method.toUpperCase(), headers },
        url: query.size === 0 ? url : `${url}?${query.toString()}`,
        ...(content && { body }),
        namesTenant:
          parameters.some(({ name }) => name === 'tenant') ||
          content?.[1].schema.properties?.tenant !== undefined,
      }
    })
}

function bodyOf({ schema, example: only, examples = {} }: Media, tenant: string): unknown {
  const example = only ?? Object.values(examples)[0]?.value ?? exampleOf(schema)
  if (typeof example !== 'object' || example === null || !schema.properties?.tenant) return example
  return { ...example, tenant }
}

function exampleOf({ examples, enum: values, default: given, type, format, minimum }: Example): unknown {
  if (examples?.[0] !== undefined) return examples[0]
  if (given !== undefined) return given
  if (values?.[0] !== undefined) return values[0]
  if (format === 'uuid') return '0b7e7f4e-2f0a-4c5b-9f3e-8a3f0f9d2a10'
  return type === 'integer' || type === 'number' ? (minimum ?? 1) : '1000'
}
