-- Calls that went from node to node, and records that take the place of incomplete ones (src/store/replace-incomplete.ts).

ALTER TABLE cdrs
  -- More than one node had the call.
  ADD COLUMN taken_over boolean NOT NULL DEFAULT false;

-- The second lock on the door after the CDR's source: no call is corrected twice. What is booked by hand has a key.
CREATE UNIQUE INDEX ledger_correction_of_call ON ledger (tenant_id, call_uuid)
  WHERE kind = 'adjustment' AND idempotency_key IS NULL AND call_uuid IS NOT NULL;
