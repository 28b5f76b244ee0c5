import type { FastifyPluginCallback, FastifyReply } from 'fastify'
import { inTime } from '../common/in-time.js'
import { DocumentError, type LegDocument } from '../call/legs/leg-document.js'
import type { SecondSource } from '../call/watch/second-source.js'
import { refusalOf, type AccessOptions } from './access.js'
import { documentIn } from './cdr-text.js'

export interface SwitchCdrOptions extends AccessOptions {
  readonly secondSource: Pick<SecondSource, 'receive'>
  /**
   * In this time a document is on the disk, or refused, in ms: mod_json_cdr itself waits for an answer for ever, and
   * holds the final event of the call back until it has one. Default 5,000.
   */
  readonly answerWithinMs?: number
}

/** A document is some 9 kB; a call with thousands of applications in its log has more. */
const bodyLimitBytes = 1024 * 1024
/** `POST /freeswitch/cdr`: what mod_json_cdr says of each leg that is over (dialplan/json_cdr.conf.xml). */
export const switchCdr: FastifyPluginCallback<SwitchCdrOptions> = (app, options, done) => {
  const { secondSource, answerWithinMs = 5_000 } = options
  app.removeAllContentTypeParsers()
  // Whatever it says that it is: see cdr-text.ts.
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, parsed) => {
    parsed(null, body)
  })

  app.post(
    '/freeswitch/cdr',
    {
      bodyLimit: bodyLimitBytes,
      // It is FreeSWITCH's, and no part of the admins' API.
      schema: { hide: true },
      // Before anything of the body is read.
      onRequest: async (request, reply) => {
        const status = refusalOf(request, options)
        if (status === undefined) return
        if (status === 401) void reply.header('www-authenticate', 'Basic realm="linger"')
        request.log.warn({ remoteAddress: request.socket.remoteAddress, status }, 'a CDR was not let in')
        return status === 401
          ? problem(reply, status, 'unauthorized', 'A user and a password are needed (SWITCH_AUTH).')
          : problem(reply, status, 'forbidden', 'This address may not post here (SWITCH_ALLOW).')
      },
    },
    async (request, reply) => {
      let document: LegDocument
      try {
        document = documentIn(typeof request.body === 'string' ? request.body : '')
      } catch (error) {
        if (!(error instanceof DocumentError)) throw error
        request.log.warn({ reason: error.message }, 'what was posted as a CDR is none')
        return problem(reply, 400, 'invalid', `This is no document of mod_json_cdr: ${error.message}.`)
      }
      try {
        // It may still be kept when that takes too long, and coming again does no harm.
        await inTime(secondSource.receive(document), answerWithinMs, tooSlow)
      } catch (error) {
        const { callUuid, uuid } = document
        request.log.warn({ err: error, call: callUuid, leg: uuid }, 'a CDR could not be kept')
        void reply.header('retry-after', '1')
        return problem(reply, 503, 'not_ready', 'It cannot be kept now. Try again, or keep it yourself.')
      }
      return { status: 'kept' }
    },
  )
  done()
}

function tooSlow(): Error {
  return new Error('the disk of the journal does not answer in time')
}

const titles = {
  400: 'The request is not valid',
  401: 'The switch must prove who it is',
  403: 'The address is not allowed',
  503: 'The server is not ready',
} as const

/** As RFC 9457 writes it, like the admin API. */
function problem(
  reply: FastifyReply,
  status: keyof typeof titles,
  code: string,
  detail: string,
): FastifyReply {
  return reply
    .code(status)
    .type('application/problem+json')
    .send({ type: `urn:linger:problem:${code}`, title: titles[status], status, detail })
}
