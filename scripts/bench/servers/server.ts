/** A server that is measured. */
export interface BenchServer {
  readonly port: number
  close(): unknown
}
