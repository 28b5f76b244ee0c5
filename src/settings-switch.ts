import { setting } from './setting.js'
import { allowList, credentials, path, switches, whole } from './setting-values.js'

/** What FreeSWITCH tells beside its calls' own sockets: over links, and over HTTP. */
export const switchSettings = {
  freeswitch: setting({
    name: 'FREESWITCH',
    allowed: 'esl://:password@host:port, several with commas between, such as esl://:ClueCon@127.0.0.1:8021',
    purpose: 'The inbound event sockets of your FreeSWITCHes; without them there is no second look at a call',
    isSecret: true,
    parse: switches,
  }),
  switchAllow: setting({
    name: 'SWITCH_ALLOW',
    default: '127.0.0.0/8,::1',
    allowed: 'addresses and CIDR ranges with commas between, such as 127.0.0.1,10.0.0.0/8',
    purpose: 'Who may post to /freeswitch: the addresses of your FreeSWITCHes',
    parse: allowList,
  }),
  switchAuth: setting({
    name: 'SWITCH_AUTH',
    allowed:
      'user:password, 8 characters of password at least; needed where SWITCH_ALLOW names other machines',
    purpose: 'What FreeSWITCH proves itself with (HTTP basic) when it posts to /freeswitch',
    isSecret: true,
    parse: credentials,
  }),
  secondSourceSeconds: setting({
    name: 'SECOND_SOURCE_SECONDS',
    default: '60',
    allowed: 'a whole number from 1 to 3600',
    purpose: "How long the other sources of a call's CDR wait for that of its session, in seconds",
    parse: whole(1, 3_600),
  }),
  cdrDir: setting({
    name: 'CDR_DIR',
    allowed: "a folder's path",
    purpose: "mod_json_cdr's err-log-dir, if this machine can see it: what it saved there is taken in",
    parse: path,
  }),
}
