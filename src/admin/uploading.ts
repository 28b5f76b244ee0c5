import type { Socket } from 'node:net'

/**
 * Connections on which a body comes that may take longer than a request otherwise may. Who reads it looks after it
 * (upload.ts).
 */
const uploads = new WeakSet<Socket>()

export function beginUpload(socket: Socket): void {
  uploads.add(socket)
}

export function endUpload(socket: Socket): void {
  uploads.delete(socket)
}

export function isUploading(socket: Socket): boolean {
  return uploads.has(socket)
}
