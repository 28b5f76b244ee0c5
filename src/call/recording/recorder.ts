import type { Logger } from 'pino'
import type { Channel } from '../../channel/channel.js'
import type { RecordingPath } from '../../channel/recording.js'
import { CallerGone, UnsafeArgument } from '../../esl/errors.js'
import { isToBeRecorded, type PlannedRecording, type Recordings } from './recording.js'
import type { Story } from '../story.js'

export interface RecorderOptions {
  /** Undefined: nothing is recorded here. */
  readonly recordings: Recordings | undefined
  readonly story: Story
  readonly channel: Pick<Channel, 'record' | 'stopRecording' | 'isAnswered' | 'remember'>
  readonly node: string
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
    if (!isToBeRecorded(identity.tenant, identity, story.adminRecords ?? story.isRecorded)) return
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

  /** @returns whether that is so, once the switch has answered; what goes wrong is logged */
  turn(isOn: boolean): Promise<boolean> {
    const { legs } = this.#options.story
    if (!isOn) return this.#stop()
    if (legs.talking !== undefined || legs.attempt !== undefined) this.start()
    return this.#isRecording()
  }

  /**
   * From now on as an admin wants it, whatever the call's routes want, and with the servers that get it next.
   * @returns false: the switch does not do it, and it stays as it was; @throws CallerGone
   */
  async turnForAdmin(isOn: boolean): Promise<boolean> {
    const { story, channel, node } = this.#options
    const { adminRecords: before } = story
    story.adminRecords = isOn
    const isDone = await this.turn(isOn)
    if (!isDone) story.adminRecords = before
    // Whoever has the call next must not record what nobody is to hear, nor over what there is.
    await channel.remember(story.state(node, story.legs.talking?.attempt ?? story.legs.attempt))
    return isDone
  }

  /** Once the switch has answered: whether it is recorded, or will be as soon as somebody talks. */
  async #isRecording(): Promise<boolean> {
    await this.#asked
    const { recordings, story } = this.#options
    if (this.#hasFailed || recordings === undefined) return false
    return (story.adminRecords ?? story.isRecorded) === true || story.recording?.isOver === false
  }

  /** From now on it is not recorded. @returns whether that is so, once the switch has answered; if not, it is logged */
  async #stop(): Promise<boolean> {
    const { story, channel, log } = this.#options
    const { recording } = story
    if (recording === undefined || recording.isOver) return true
    const { isAnswered } = channel
    const stopped = { ...recording, isOver: true }
    story.recording = stopped
    const becomes = (now: PlannedRecording | undefined): void => {
      if (story.recording === stopped) story.recording = now
    }
    try {
      if (await channel.stopRecording(recording.path as RecordingPath)) return true
      if (!isAnswered) {
        // It was to begin with the answer: there is no file, and none will be.
        becomes(withoutLatest(recording))
        return true
      }
      log.error({ path: recording.path }, 'the switch refused to stop the recording')
    } catch (error) {
      if (error instanceof CallerGone) return true
      log.error({ err: error }, 'the recording could not be stopped')
    }
    becomes(recording)
    // By itself it may have ended meanwhile.
    const { recording: now } = this.#options.story
    return now?.isOver !== false
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

function withoutLatest({ earlier = [] }: PlannedRecording): PlannedRecording | undefined {
  const path = earlier.at(-1)
  return path === undefined ? undefined : { path, isOver: true, earlier: earlier.slice(0, -1) }
}
