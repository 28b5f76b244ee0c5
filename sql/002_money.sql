-- Σ ledger.amount of a tenant is its balance, always: both are written by one transaction or neither is.

-- A table of its own, not columns of `tenants`: it changes with every call, and nobody who edits a tenant
-- shall wait for it. It goes with its tenant, which the ledger allows while it has no line. Half of each page
-- stays free so that an update finds room beside the old row and touches no index (HOT).
CREATE TABLE balances (
  tenant_id text PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
  balance numeric(24, 6) NOT NULL DEFAULT 0 CHECK (balance < 'NaN'),
  -- Held for calls in progress; what may still be spent is balance - reserved.
  reserved numeric(24, 6) NOT NULL DEFAULT 0 CHECK (reserved >= 0 AND reserved < 'NaN'),
  updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- No tenant without a balance, whoever creates it: a debit must always find its row.
CREATE FUNCTION open_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO balances (tenant_id) VALUES (NEW.id);
  RETURN NULL;
END $$;
CREATE TRIGGER tenants_open_balance AFTER INSERT ON tenants FOR EACH ROW EXECUTE FUNCTION open_balance();

CREATE TABLE ledger (
  -- Rises in the order in which a tenant's balance changed: it is drawn under the balance's row lock.
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id text NOT NULL REFERENCES balances,
  kind text NOT NULL CHECK (kind IN ('topup', 'debit', 'refund', 'adjustment')),
  -- What the balance changed by: below 0 when money left.
  amount numeric(24, 6) NOT NULL CHECK (amount <> 0 AND amount < 'NaN'),
  balance_after numeric(24, 6) NOT NULL CHECK (balance_after < 'NaN'),
  description text NOT NULL,
  call_uuid text,
  -- Chosen by whoever books: the same key a second time books nothing.
  idempotency_key text,
  created_at timestamptz NOT NULL DEFAULT now(),
  CHECK (CASE kind WHEN 'debit' THEN amount < 0 WHEN 'topup' THEN amount > 0 WHEN 'refund' THEN amount > 0 ELSE true END)
);
CREATE INDEX ledger_tenant ON ledger (tenant_id, id);
CREATE UNIQUE INDEX ledger_idempotency_key ON ledger (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- The second lock on the door after call_keys: no call is debited twice.
CREATE UNIQUE INDEX ledger_debit_of_call ON ledger (call_uuid) WHERE kind = 'debit';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: correct it with a new line', TG_TABLE_NAME;
END $$;
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
