/**
 * What can go wrong on an event socket. Callers tell the cases apart by class or `code`, never by text.
 */
export type EslErrorCode =
  | 'ACCESS_REFUSED'
  | 'CALLER_GONE'
  | 'COMMAND_REFUSED'
  | 'LINK_DOWN'
  | 'OVERLOADED'
  | 'PROTOCOL'
  | 'REPLY_TIMEOUT'
  | 'UNSAFE_ARGUMENT'

export class EslError extends Error {
  readonly code: EslErrorCode

  constructor(code: EslErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}

/** The channel has hung up, or the connection that controlled it is closed: nobody is left to talk to. */
export class CallerGone extends EslError {
  constructor(message = 'the caller has gone', options?: ErrorOptions) {
    // How every call ends that its caller ends, and caught by its class: nobody reads its stack, the dearest part of it.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super('CALLER_GONE', message, options)
    Error.stackTraceLimit = stackTraceLimit
  }
}

/** FreeSWITCH answered `-ERR …` (or `-USAGE …`). */
export class CommandRefused extends EslError {
  readonly command: string
  readonly reply: string

  /** @param command its verb alone: arguments may carry numbers and secrets */
  constructor(command: string, reply: string) {
    super('COMMAND_REFUSED', `FreeSWITCH refused ${command}: ${reply}`)
    this.command = command
    this.reply = reply
  }
}

/** What came over the wire is no event-socket conversation, or a frame is over its cap. */
export class ProtocolError extends EslError {
  constructor(message: string, options?: ErrorOptions) {
    super('PROTOCOL', message, options)
  }
}

/**
 * A reply did not come in time. Replies carry no ids, so the connection is ended with this error:
 * a late reply would be taken for the next command's.
 */
export class ReplyTimeout extends EslError {
  constructor(command: string, timeoutMs: number) {
    super('REPLY_TIMEOUT', `FreeSWITCH did not reply to ${command} within ${timeoutMs} ms`)
  }
}

/** An argument that could split a command in two or be expanded; it never reached the socket. */
export class UnsafeArgument extends EslError {
  constructor(message: string) {
    super('UNSAFE_ARGUMENT', message)
  }
}

/** More was written than the peer reads, or than the caps allow to wait. */
export class Overloaded extends EslError {
  constructor(message: string) {
    super('OVERLOADED', message)
  }
}

/** FreeSWITCH's inbound event socket does not take the password, or not this address: trying again does not help. */
export class AccessRefused extends EslError {
  constructor(message: string) {
    super('ACCESS_REFUSED', message)
  }
}

/** There is no link to FreeSWITCH, or it broke before the answer: a command may have been carried out or not. */
export class LinkDown extends EslError {
  constructor(message: string, options?: ErrorOptions) {
    super('LINK_DOWN', message, options)
  }
}
