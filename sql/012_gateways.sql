-- How a tenant's gateways are chosen, how many calls they take, and how they want a call presented.

ALTER TABLE tenants
  -- In which order the gateways for a number are tried: by their priority, or by what the carrier takes and then by
  -- priority; a gateway whose cost is not known comes last.
  ADD COLUMN gateway_order text NOT NULL DEFAULT 'priority' CHECK (gateway_order IN ('priority', 'cost')),
  -- Presented over gateways with caller_id 'tenant'. None: the caller's own. Of ASCII a name has letters, digits,
  -- `.`, `_`, `-` and single blanks.
  ADD COLUMN caller_id_number text CHECK (caller_id_number ~ '^\+?[0-9]{2,32}$'),
  ADD COLUMN caller_id_name text CHECK (caller_id_name ~ '^[^\x01-\x2c\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]+( [^\x01-\x2c\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]+)*$'
    AND length(caller_id_name) <= 64);

ALTER TABLE gateways
  -- Calls at once, and that begin in a second, over all nodes. They are the gateway's own: of several rows with one
  -- name, whosever, the smallest counts. 0: it takes none. None: as many as there are.
  ADD COLUMN max_calls integer CHECK (max_calls >= 0),
  ADD COLUMN max_calls_per_second integer CHECK (max_calls_per_second BETWEEN 0 AND 10000),
  -- How it is told a number: in normal form or as it is dialled in the tenant's country (0901234567, 0012125550123);
  -- then that many leading digits go, then this is put before it. Emergency numbers and short codes are dialled as
  -- they are.
  ADD COLUMN number_format text NOT NULL DEFAULT 'international' CHECK (number_format IN ('international', 'national')),
  ADD COLUMN strip_digits smallint NOT NULL DEFAULT 0 CHECK (strip_digits BETWEEN 0 AND 20),
  ADD COLUMN prepend text NOT NULL DEFAULT '' CHECK (prepend ~ '^\+?[0-9*#]{0,16}$'),
  -- Who is presented: the caller, always the same number, the tenant's own, or nobody.
  ADD COLUMN caller_id text NOT NULL DEFAULT 'caller' CHECK (caller_id IN ('caller', 'fixed', 'tenant', 'anonymous')),
  ADD COLUMN caller_id_number text CHECK (caller_id_number ~ '^\+?[0-9]{2,32}$'),
  ADD COLUMN caller_id_name text CHECK (caller_id_name ~ '^[^\x01-\x2c\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]+( [^\x01-\x2c\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]+)*$'
    AND length(caller_id_name) <= 64),
  ADD CHECK (caller_id <> 'fixed' OR caller_id_number IS NOT NULL),
  -- In which header besides From: Remote-Party-ID, P-Asserted-Identity or neither. None: as the SIP profile has it.
  ADD COLUMN caller_id_header text CHECK (caller_id_header IN ('rpid', 'pid', 'none')),
  -- What it is offered and nothing else: PCMA, G722, opus@48000h@20i. Empty: as the SIP profile has it.
  ADD COLUMN codecs text[] NOT NULL DEFAULT '{}'
    CHECK (array_to_string(codecs, ',', '?') ~ '^([A-Za-z0-9][A-Za-z0-9.-]{0,31}(@[0-9]{1,7}[hibc]){0,4}(,[A-Za-z0-9][A-Za-z0-9.-]{0,31}(@[0-9]{1,7}[hibc]){0,4}){0,15})?$'),
  -- Without a sign of the far end so long after it was dialled, the next one is tried. At most, and without it: one
  -- second before the end of the tenant's ring time, if that is 12 s or more.
  ADD COLUMN progress_seconds integer CHECK (progress_seconds BETWEEN 1 AND 600);
