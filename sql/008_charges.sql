-- A charge keeps all of the rate that it was made at, so that its arithmetic can be done again.

ALTER TABLE charges
  -- None: the leg went to an extension, at the tenant's inbound tariff.
  ALTER COLUMN gateway DROP NOT NULL,
  -- What was paid for: billed_ms, but at least the rate's minimum and in whole increments; 0 within its grace.
  ADD COLUMN charged_ms bigint CHECK (charged_ms >= 0),
  -- The rate beside its price (src/billing/rate-snapshot.ts); what is as in plain terms is left out.
  ADD COLUMN terms jsonb NOT NULL DEFAULT '{}';
-- So far, time was charged by the millisecond.
UPDATE charges SET charged_ms = billed_ms;
ALTER TABLE charges ALTER COLUMN charged_ms SET NOT NULL;
