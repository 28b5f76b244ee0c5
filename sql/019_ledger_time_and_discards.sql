-- What an admin asks of the ledger by time, and what became of call records that were thrown away.

-- Lines of a time. In the order of their ids they nearly are in that of time, but not quite: created_at is when the
-- transaction began.
CREATE INDEX ledger_time ON ledger (tenant_id, created_at);

-- Call records that a node had set aside and that an admin decided never to deliver: kept, for nothing that was ever
-- a call may be gone without a trace. One that was put back into a journal since stays here, and says so.
CREATE TABLE discarded_records (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- Its key in the journal, which no other record of any node has. Discarded twice it is here once.
  id text NOT NULL UNIQUE,
  node text NOT NULL,
  -- As it was in the journal.
  entry text NOT NULL,
  -- None: the journal could not read why and when, for a newer release had written it.
  set_aside_reason text,
  set_aside_at timestamptz,
  -- As far as the record could be read.
  call_uuid text,
  tenant_id text,
  -- Why it was discarded.
  reason text NOT NULL CHECK (reason <> ''),
  discarded_by text NOT NULL,
  discarded_at timestamptz NOT NULL DEFAULT now(),
  -- What became of the call: `closed` without cost, by a CDR of the source `incomplete`; `had_cdr`, of another record,
  -- which stands; `unknown`, because the record does not say which call it is of, or PostgreSQL could not hold it.
  call_became text NOT NULL CHECK (call_became IN ('closed', 'had_cdr', 'unknown')),
  -- Of the tenant's money, which the call held.
  released numeric(24, 6) NOT NULL CHECK (released >= 0 AND released < 'NaN'),
  restored_by text,
  restored_at timestamptz
);
-- Hash: an id of a call may be longer than what a B-tree takes, which may be why its record was refused.
CREATE INDEX discarded_records_call ON discarded_records USING hash (call_uuid);
