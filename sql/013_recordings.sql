-- What of a tenant's calls is recorded, where its CDRs say that it is, and what who is put on hold hears.

ALTER TABLE tenants
  ADD COLUMN record_directions text[] NOT NULL DEFAULT '{}'
    CHECK (record_directions <@ ARRAY['inbound', 'outbound', 'internal'] AND array_position(record_directions, NULL) IS NULL),
  -- As src/numbering/dial-string.ts takes it, of which it becomes a part: a file, a tone or a stream of the switch's own.
  ADD COLUMN hold_music text CHECK (
    hold_music !~ '\.\.' AND hold_music ~
      '^(/?[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}|(local|silence)_stream://[A-Za-z0-9_./,-]{1,100}|tone_stream://[A-Za-z0-9%(),;.=*+_-]{1,200})$'
  );

-- Where the recording can be fetched; recording_path is where the switch wrote it.
ALTER TABLE cdrs ADD COLUMN recording_url text;
