-- CDRs by what an admin looks for, calls that are rated anew, and months that are dropped.

-- A page is found in the index alone: of a tenant's month that is half of all calls the CDRs themselves are a gigabyte.
-- What is filtered by and summed up is in there (src/store/cdr-filters.ts).
DROP INDEX cdrs_tenant;
CREATE INDEX cdrs_tenant ON cdrs (tenant_id, started_at, call_uuid)
  INCLUDE (direction, source, hangup_cause, route, gateway, is_vip, is_blacklisted, duration_ms, cost,
    answered_at, bridged_ms, billed_ms, carrier_cost, currency);
-- The beginning of a number only: a caller may present one that is longer than an index takes. Number first: without a
-- tenant it is found, too. Pattern: prefixes are looked for, whatever the order of the database's texts.
CREATE INDEX cdrs_caller ON cdrs (left(caller, 40) text_pattern_ops, tenant_id, started_at);
CREATE INDEX cdrs_called ON cdrs (left(called, 40) text_pattern_ops, tenant_id, started_at);

-- Number of the rerating of a call that a line belongs to: the old cost comes back, the new one is debited. None: any
-- other line, of which a call has one debit.
ALTER TABLE ledger
  ADD COLUMN rerating integer,
  ADD CHECK (rerating IS NULL
    OR rerating > 0 AND kind IN ('refund', 'debit') AND call_uuid IS NOT NULL AND idempotency_key IS NULL);
DROP INDEX ledger_debit_of_call;
CREATE UNIQUE INDEX ledger_debit_of_call ON ledger (call_uuid) WHERE kind = 'debit' AND rerating IS NULL;
CREATE UNIQUE INDEX ledger_reratings ON ledger (call_uuid, rerating, kind) WHERE rerating IS NOT NULL;

-- What a call was rated before it was rated anew (src/store/rerate.ts).
CREATE TABLE reratings (
  call_uuid text NOT NULL,
  -- Counts up, also over a record that took the place of another.
  number integer NOT NULL CHECK (number > 0),
  -- Which of a call's records it was of: its CDR's committed_at.
  committed_at timestamptz NOT NULL,
  reason text NOT NULL,
  cost_before numeric(24, 6) NOT NULL,
  cost numeric(24, 6) NOT NULL,
  -- Rows of `charges`, as they were.
  charges_before jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (call_uuid, number)
);

-- What the CDRs came to that are gone (src/store/retention.ts): the ledger and call_keys have their calls for ever.
CREATE TABLE dropped_cdrs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- CDRs that start before this are dropped.
  started_before timestamptz NOT NULL,
  -- None: calls that belong to no tenant.
  tenant_id text,
  calls bigint NOT NULL CHECK (calls >= 0),
  cost numeric(30, 6) NOT NULL CHECK (cost >= 0 AND cost < 'NaN'),
  dropped_at timestamptz NOT NULL DEFAULT now()
);
