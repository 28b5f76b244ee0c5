/** What a script learns from how the command ended. */
export const exitCodes = {
  done: 0,
  /** The server refused what was asked. */
  refused: 1,
  /** The command line or a setting is wrong: nothing was asked. */
  usage: 2,
  missing: 3,
  /** No key, a wrong one, or one that may not. */
  unauthorised: 4,
  /** The server, or the way to it: the same may succeed later. */
  trouble: 5,
  /** Ctrl-C, as shells have it. */
  interrupted: 130,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** Why a command ends before it is done, in words for whoever called it. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly exitCode: ExitCode
  /** The fields or lines at fault, each with what is wrong. */
  readonly details: readonly string[]
  /** Nobody knows whether the server did what it was asked. */
  readonly isLost: boolean

  constructor(
    exitCode: ExitCode,
    message: string,
    {
      details = [],
      isLost = false,
      ...options
    }: ErrorOptions & { details?: readonly string[]; isLost?: boolean } = {},
  ) {
    super(message, options)
    this.exitCode = exitCode
    this.details = details
    this.isLost = isLost
  }
}

export function usageError(message: string): CliError {
  return new CliError(exitCodes.usage, message)
}
