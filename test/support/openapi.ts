import type { LightMyRequestResponse } from 'fastify'
import { Compile } from 'typebox/compile'

interface Operation {
  operationId: string
  summary?: string
  responses: Record<string, { description?: string; content?: Record<string, { schema: object }> }>
}

export interface OpenApi {
  openapi: string
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, object> }
}

/** Holds answers against what the document says of them, and remembers which ones were seen. */
export class ApiContract {
  readonly #document: OpenApi
  readonly #seen = new Set<string>()
  /** By operation, status and type: compiled once. */
  readonly #validators = new Map<string, ReturnType<typeof Compile>>()

  constructor(document: OpenApi) {
    this.#document = document
  }

  get operations(): { method: string; path: string; operation: Operation }[] {
    return Object.entries(this.#document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ method, path, operation })),
    )
  }

  /** @returns what the answer does that the document does not say; empty: nothing */
  faults(
    method: string,
    url: string,
    { statusCode, headers, body }: Pick<LightMyRequestResponse, 'statusCode' | 'headers' | 'body'>,
  ): string[] {
    const [pathname = ''] = url.split('?')
    const candidates = this.operations.filter(
      (candidate) => candidate.method === method.toLowerCase() && patternOf(candidate.path).test(pathname),
    )
    // As a router does: a path that is there word for word comes first.
    const found = candidates.find(({ path }) => path === pathname) ?? candidates[0]
    if (!found) return [`${method} ${url} is no operation`]
    const documented = found.operation.responses[String(statusCode)]
    if (!documented) return [`${found.operation.operationId} may not answer ${statusCode}`]
    this.#seen.add(`${found.operation.operationId} ${statusCode}`)
    if (statusCode === 204) return body === '' ? [] : ['204 with a body']
    const [type = ''] = String(headers['content-type']).split(';')
    const schema = documented.content?.[type]?.schema
    if (!schema) return [`${found.operation.operationId} may not answer ${type}`]
    const name = `${found.operation.operationId} ${statusCode} ${type}`
    const validator = this.#validators.get(name) ?? Compile(this.#resolve(schema) as object)
    this.#validators.set(name, validator)
    const value: unknown = /^application\/(?:.*\+)?json$/.test(type) ? JSON.parse(body) : body
    return validator.Errors(value).map(({ instancePath, message }) => `${instancePath} ${message}`)
  }

  /** Answers of the document that were not seen. */
  unseen(): string[] {
    return this.operations
      .flatMap(({ operation }) =>
        Object.keys(operation.responses).map((status) => `${operation.operationId} ${status}`),
      )
      .filter((answer) => !this.#seen.has(answer))
  }

  #resolve(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((item) => this.#resolve(item))
    if (typeof value !== 'object' || value === null) return value
    const { $ref } = value as { $ref?: unknown }
    if (typeof $ref === 'string') {
      const target = this.#document.components.schemas[$ref.replace('#/components/schemas/', '')]
      if (!target) throw new Error(`${$ref} leads nowhere`)
      return this.#resolve(target)
    }
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, this.#resolve(inner)]))
  }
}

function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`)
}
