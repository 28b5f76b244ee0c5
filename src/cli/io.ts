/** Where output goes. */
export interface Out {
  write(text: string): boolean
  once(event: 'drain', listener: () => void): unknown
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}

/** What a command has of the process that it runs in. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>
  /** The .env there is read. */
  readonly cwd: string
  readonly stdin: AsyncIterable<Uint8Array>
  readonly stdout: Out
  readonly stderr: Out
  /** Somebody pressed Ctrl-C. */
  readonly signal: AbortSignal
}

/** Waits until `out` takes more. */
export async function write(out: Out, text: string): Promise<void> {
  if (out.write(text)) return
  await new Promise<void>((resolve) => {
    out.once('drain', resolve)
  })
}
