/** A server that is measured. */
export interface BenchServer {
  readonly port: number
  /** Of the HTTP API, of a server that has one. */
  readonly httpPort?: number
  close(): unknown
}
