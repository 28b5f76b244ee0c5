/** Frames as FreeSWITCH writes them. */

export function reply(text: string): string {
  return `Content-Type: command/reply\nReply-Text: ${text}\n\n`
}

export function apiResponse(text: string): string {
  return `Content-Type: api/response\nContent-Length: ${text.length}\n\n${text}`
}

export function jsonEvent(name: string, filler = ''): string {
  const body = JSON.stringify({ 'Event-Name': name, filler })
  return `Content-Length: ${body.length}\nContent-Type: text/event-json\n\n${body}`
}
