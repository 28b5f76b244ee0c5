import { RecordingTemplate } from './call/recording/recording-template.js'
import { setting } from './setting.js'
import { flag, recordingFolder, retention, urlPrefix, whole } from './setting-values.js'

/** Where talks are recorded to, and how long that and the CDRs are kept. */
export const recordingSettings = {
  recordingsDir: setting({
    name: 'RECORDINGS_DIR',
    allowed: 'an absolute path of A-Z a-z 0-9 _ . @ + = - and /, 100 characters at most',
    purpose: 'The folder for recordings, as FreeSWITCH sees it; without it nothing is recorded',
    parse: recordingFolder,
  }),
  recordingsUrl: setting({
    name: 'RECORDINGS_URL',
    allowed: 'http:// or https://, without ? and #, such as https://files.example.com/recordings',
    purpose: "Where that folder can be fetched from: it makes the CDRs' `recording_url`",
    parse: urlPrefix,
  }),
  recordingsPath: setting({
    name: 'RECORDINGS_PATH',
    default: '{tenant}/{yyyy}/{mm}/{dd}/{call_uuid}.wav',
    allowed:
      'folders and a file with {call_uuid} that ends in .wav or .mp3; also {tenant} {direction} {caller} {called} {yyyy} {mm} {dd} {hh}',
    purpose: "A recording's file, below RECORDINGS_DIR; dates are the tenant's",
    parse: (text) => RecordingTemplate.parse(text),
  }),
  recordingsStereo: setting({
    name: 'RECORDINGS_STEREO',
    default: 'true',
    allowed: 'true or false',
    purpose:
      'Whether the caller is on one side and the other party on the other (true), or both on one (false)',
    parse: flag,
  }),
  recordingsRetentionDays: setting({
    name: 'RECORDINGS_RETENTION_DAYS',
    default: '0',
    allowed: 'a whole number from 0 to 36500',
    purpose: 'How long recordings are kept, in days, where this machine sees their folder; 0: for ever',
    parse: whole(0, 36_500),
  }),
  cdrRetention: setting({
    name: 'CDR_RETENTION',
    allowed: 'days or months, 62d to 36500d or 2m to 1200m, such as 24m',
    purpose:
      'How long CDRs are kept after the end of their month, then the whole month is dropped; without it for ever. What they cost stays in the ledger',
    parse: retention,
  }),
}
