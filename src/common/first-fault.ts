interface Validator {
  Errors(value: unknown): Iterable<{ readonly instancePath: string; readonly message: string }>
}

/** @returns where a value is wrong first, and why: `choices.1.route: must be string` */
export function firstFault(validator: Validator, value: unknown): string {
  const [first] = validator.Errors(value)
  const where = first?.instancePath.slice(1).replaceAll('/', '.') ?? ''
  return [where, first?.message ?? 'is not valid'].filter((part) => part !== '').join(': ')
}
