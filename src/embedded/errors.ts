/**
 * An embedded service that cannot be started or stopped. The message is one line for the operator: what is
 * wrong and, where there is one, what to do. It is printed without a stack.
 */
export class ServiceError extends Error {
  override readonly name = 'ServiceError'
}
