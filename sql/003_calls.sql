-- Calls that are over. All three tables are written by one statement (src/store/commit.ts).

-- Decides whether a record is new. Not partitioned, because a partitioned table cannot promise that a
-- call_uuid is unique over all months. Text: the switch may be told to use the SIP Call-ID.
CREATE TABLE call_keys (
  call_uuid text PRIMARY KEY,
  started_at timestamptz NOT NULL
);

-- No foreign key to `tenants`: a call was made whether or not its tenant is still there. No check on times:
-- a switch whose clock was set back has had its calls all the same.
CREATE TABLE cdrs (
  call_uuid text NOT NULL,
  started_at timestamptz NOT NULL,
  tenant_id text,
  currency text CHECK (currency ~ '^[A-Z]{3}$'),
  direction text NOT NULL CHECK (direction IN ('inbound', 'outbound', 'internal')),
  -- Which of the record's makers this one came from.
  source text NOT NULL CHECK (source IN ('session', 'link', 'json_cdr', 'incomplete')),
  -- Normal form, and as it came.
  caller text NOT NULL,
  called text NOT NULL,
  caller_raw text NOT NULL,
  called_raw text NOT NULL,
  caller_name text NOT NULL,
  a_leg_uuid text NOT NULL,
  b_leg_uuid text,
  answered_at timestamptz,
  bridged_at timestamptz,
  ended_at timestamptz NOT NULL,
  duration_ms bigint NOT NULL,
  ring_ms bigint NOT NULL,
  answered_ms bigint NOT NULL,
  bridged_ms bigint NOT NULL,
  billed_ms bigint NOT NULL CHECK (billed_ms >= 0),
  hangup_cause text NOT NULL,
  q850_cause integer,
  sip_status integer,
  hung_up_by text CHECK (hung_up_by IN ('caller', 'called', 'server', 'switch')),
  route text,
  gateway text,
  is_vip boolean NOT NULL,
  is_blacklisted boolean NOT NULL,
  -- Why the call was not let through; none when it was.
  refusal text,
  sip_call_id text,
  switch_name text,
  codec text,
  mos numeric(4, 2),
  recording_path text,
  -- What the tenant pays: the sum of its charges.
  cost numeric(24, 6) NOT NULL CHECK (cost >= 0 AND cost < 'NaN'),
  -- What the carriers ask for it; none when no gateway of the call says.
  carrier_cost numeric(24, 6) CHECK (carrier_cost >= 0 AND carrier_cost < 'NaN'),
  variables jsonb NOT NULL,
  committed_at timestamptz NOT NULL DEFAULT now(),
  -- A partitioned table's key must hold the column it is partitioned by; call_keys has the true one.
  PRIMARY KEY (call_uuid, started_at)
) PARTITION BY RANGE (started_at);
CREATE INDEX cdrs_started ON cdrs (started_at, call_uuid);
CREATE INDEX cdrs_tenant ON cdrs (tenant_id, started_at, call_uuid);

-- Months are made ahead of time (src/store/partitions.ts). A record of any other month, from a journal
-- that was away for long, is not lost for want of one.
CREATE TABLE cdrs_default PARTITION OF cdrs DEFAULT;

-- One a gateway leg, with a snapshot of the rate that it was dialled at.
CREATE TABLE charges (
  call_uuid text NOT NULL,
  leg_uuid text NOT NULL,
  gateway text NOT NULL,
  number text NOT NULL,
  prefix text NOT NULL,
  prefix_entered text NOT NULL,
  description text NOT NULL,
  price_per_minute numeric(24, 6) NOT NULL CHECK (price_per_minute >= 0 AND price_per_minute < 'NaN'),
  answered_at timestamptz NOT NULL,
  ended_at timestamptz NOT NULL,
  billed_ms bigint NOT NULL CHECK (billed_ms >= 0),
  cost numeric(24, 6) NOT NULL CHECK (cost >= 0 AND cost < 'NaN'),
  carrier_cost numeric(24, 6) CHECK (carrier_cost >= 0 AND carrier_cost < 'NaN'),
  PRIMARY KEY (call_uuid, leg_uuid)
);
