import type { Call, CallOptions } from '../support/switch/call.js'
import { SimulatedSwitch } from '../support/switch/switch.js'

export interface CrashSwitchOptions {
  /** Where mod_json_cdr saves what nobody takes. */
  readonly dir: string
  readonly cdrUrls: readonly string[]
  /** Of its own event socket. */
  readonly port: number
  readonly seed: number
}

const password = 'crash-link'
const auth = 'switch:crash-cdr'
const heartbeatMs = 5_000

/** The simulated switch with all that a server may learn of its calls from. */
export class CrashSwitch {
  /** What its servers' settings say of it. */
  readonly env: Readonly<Record<string, string>>
  readonly #sw: SimulatedSwitch
  readonly #heartbeat: NodeJS.Timeout

  private constructor(sw: SimulatedSwitch, { dir, port }: CrashSwitchOptions) {
    this.#sw = sw
    this.env = {
      FREESWITCH: `esl://:${password}@127.0.0.1:${port}`,
      SWITCH_AUTH: auth,
      CDR_DIR: dir,
    }
    this.#heartbeat = setInterval(() => {
      sw.heartbeat()
    }, heartbeatMs)
  }

  static async create(options: CrashSwitchOptions): Promise<CrashSwitch> {
    const { dir, cdrUrls, port, seed } = options
    const jsonCdr = { urls: cdrUrls, auth, retries: 3, delayMs: 400, errLogDir: dir }
    const sw = new SimulatedSwitch({ noticeOrder: seed, jsonCdr })
    await sw.listenInbound({ password, port })
    return new CrashSwitch(sw, options)
  }

  call(options: CallOptions): Call {
    return this.#sw.call(options)
  }

  cutLinks(): void {
    this.#sw.cutLinks()
  }

  /** Its own event socket accepts, keeps what there is, and says nothing more. */
  silenceLinks(isSilent: boolean): void {
    for (const port of this.#sw.ports) port.isSilent = isSilent
  }

  async close(): Promise<void> {
    clearInterval(this.#heartbeat)
    await Promise.all([...this.#sw.ports].map((port) => port.close()))
    this.#sw.destroy()
  }
}
