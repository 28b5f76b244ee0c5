import type { Logger } from 'pino'
import type { Channel } from '../../channel/channel.js'
import type { RecordingPath } from '../../channel/recording.js'
import { CallerGone, UnsafeArgument } from '../../esl/errors.js'
import { isToBeRecorded, type Recordings } from './recording.js'
import type { PlannedRecording } from '../state.js'
import type { Story } from '../story.js'

export interface RecorderOptions {
  /** Undefined: nothing is recorded here. */
  readonly recordings: Recordings | undefined
  readonly story: Story
  readonly channel: Pick<Channel, 'record' | 'stopRecording'>
  readonly log: Logger
}

/**
 * Has one call recorded. Nothing is waited for, and whatever goes wrong is logged: a recording is never worth its call.
 * What is recorded is the talk; not the ringing, nor the waiting in a queue.
 */
export class Recorder {
  readonly #options: RecorderOptions
  #hasFailed = false
  /** The switch has been asked to, and has not answered. */
  #asked: Promise<void> | undefined

  constructor(options: RecorderOptions) {
    this.#options = options
  }

  /**
   * Before the caller is connected to somebody, and when a route wants it while they talk. Once: what is recorded
   * already, for an earlier server too, goes on to the same file.
   */
  start(): void {
    const { recordings, story, channel, log } = this.#options
    const { identity, recording: earlier } = story
    if (identity.tenant === undefined || this.#hasFailed) return
    if (!isToBeRecorded(identity.tenant, identity, story.isRecorded)) return
    if (earlier?.isOver === false) return
    if (recordings === undefined) {
      this.#fail('nothing is recorded here (RECORDINGS_DIR)')
      return
    }
    const path = this.#pathIn(recordings, earlier)
    if (path === undefined) return
    const recording = {
      path,
      isOver: false,
      ...(earlier && { earlier: [...(earlier.earlier ?? []), earlier.path] }),
    }
    story.recording = recording
    this.#asked = channel.record(path, { isStereo: recordings.isStereo, isTalkOnly: true }).then(
      (isAccepted) => {
        if (isAccepted) return
        if (story.recording === recording) story.recording = earlier
        this.#fail('the switch refused to record it', path)
      },
      (error: unknown) => {
        if (!(error instanceof CallerGone)) log.error({ err: error, path }, 'the call is not recorded')
      },
    )
  }

  /** Once the switch has answered: whether it is recorded, or will be as soon as somebody talks. */
  async isRecording(): Promise<boolean> {
    await this.#asked
    const { recordings, story } = this.#options
    if (this.#hasFailed || recordings === undefined) return false
    return story.isRecorded === true || story.recording?.isOver === false
  }

  /** From now on it is not recorded. */
  stop(): void {
    const { story, channel, log } = this.#options
    const { recording } = story
    if (recording === undefined || recording.isOver) return
    story.recording = { ...recording, isOver: true }
    channel.stopRecording(recording.path as RecordingPath).catch((error: unknown) => {
      if (!(error instanceof CallerGone)) log.error({ err: error }, 'the recording could not be stopped')
    })
  }

  #pathIn(recordings: Recordings, earlier: PlannedRecording | undefined): RecordingPath | undefined {
    const { facts, identity } = this.#options.story
    const { id = '', timeZone = 'UTC' } = identity.tenant ?? {}
    const { direction, caller, called } = identity
    try {
      return recordings.pathOf(
        {
          tenant: id,
          timeZone,
          direction,
          callUuid: facts.uuid,
          caller,
          called,
          startedAt: facts.createdAt,
        },
        earlier?.path,
      )
    } catch (error) {
      if (!(error instanceof UnsafeArgument)) throw error
      this.#fail(error.message)
      return undefined
    }
  }

  /** It is not tried again: a route may dial many times. */
  #fail(reason: string, path?: RecordingPath): void {
    this.#hasFailed = true
    this.#options.log.warn({ reason, ...(path !== undefined && { path }) }, 'the call is not recorded')
  }
}
