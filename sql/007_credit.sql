-- Credit: what a tenant may spend and how much at once, and what its calls in progress hold of it.

ALTER TABLE tenants
  -- Prepaid: spends what it has paid in. Postpaid: is billed later.
  ADD COLUMN billing text NOT NULL DEFAULT 'prepaid' CHECK (billing IN ('prepaid', 'postpaid')),
  -- How far below 0 balance less reserved may go. None: not at all when prepaid, without bound when postpaid.
  ADD COLUMN credit_limit numeric(24, 6) CHECK (credit_limit >= 0 AND credit_limit < 'NaN'),
  -- A balance below this is warned of, once each time that it falls below.
  ADD COLUMN low_balance numeric(24, 6) CHECK (low_balance < 'NaN'),
  -- Over all nodes (src/billing/limits.ts). None: as many as there are.
  ADD COLUMN max_calls integer CHECK (max_calls >= 0),
  ADD COLUMN max_calls_per_second integer CHECK (max_calls_per_second >= 0);

ALTER TABLE balances
  -- For the daily cap: debits of the tenant's day `spent_on`; of any later day nothing is spent yet. A debit
  -- counts on the day on which it is booked.
  ADD COLUMN spent numeric(24, 6) NOT NULL DEFAULT 0 CHECK (spent >= 0 AND spent < 'NaN'),
  ADD COLUMN spent_on date NOT NULL DEFAULT '-infinity',
  -- The balance is below the tenant's `low_balance`, and that was told.
  ADD COLUMN is_low boolean NOT NULL DEFAULT false;

-- What legs of calls in progress may still cost. Σ amount of a tenant is its `balances.reserved`: whoever writes
-- here holds the row lock of that balance, and so stands in one line with every other. The tenant is part of the
-- key: should two tenants' calls have the same uuid, neither touches the other's money.
CREATE TABLE reservations (
  tenant_id text NOT NULL REFERENCES balances ON DELETE CASCADE,
  call_uuid text NOT NULL,
  -- One attempt to reach a gateway; a call may have several.
  attempt_id text NOT NULL,
  amount numeric(24, 6) NOT NULL CHECK (amount >= 0 AND amount < 'NaN'),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, call_uuid, attempt_id)
);

-- Reserves for legs of one tenant, in their order, and answers a row for each: what the attempt holds now, and
-- why no more if it is less than `leasts`. `wants` and `leasts` are totals of the attempt, so that the same
-- question a second time reserves nothing more. Between the two it gets what there is.
--
-- `after_ids`: an attempt of the same call that is over. What it holds beyond its cost goes over to this one: it
-- stays reserved, for a call is bound by all that it holds.
--
-- A function because each of its statements sees what was committed before it, a single statement only what was
-- committed before it began to wait for the lock: the lock first, then the question whether the call is over,
-- so that no reservation is made after its call's commit looked for it (release_reservations).
--
-- It gives up when it has waited for the lock for as long as a leg usually waits: should somebody sit on a
-- tenant's balance, its statements would else hold the connections that all tenants need.
CREATE FUNCTION reserve_credit(
  of_tenant text, call_uuids text[], attempt_ids text[], after_ids text[], after_costs numeric[],
  wants numeric[], leasts numeric[]
) RETURNS TABLE (held numeric, refusal text) LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
DECLARE
  -- NULL: no bound.
  available numeric;
  left_today numeric;
  per_call numeric;
  left_of_call numeric;
  is_over boolean;
  of_call numeric;
  own numeric;
  spare numeric;
  more numeric;
  total numeric := 0;
BEGIN
  SELECT b.balance - b.reserved
      + CASE t.billing WHEN 'prepaid' THEN coalesce(t.credit_limit, 0) ELSE t.credit_limit END,
    t.daily_spend_cap - b.reserved
      - CASE WHEN b.spent_on >= (now() AT TIME ZONE t.time_zone)::date THEN b.spent ELSE 0 END,
    t.maximum_call_cost
  INTO available, left_today, per_call
  FROM balances b JOIN tenants t ON t.id = b.tenant_id
  WHERE b.tenant_id = of_tenant
  FOR NO KEY UPDATE OF b;
  IF NOT FOUND THEN
    RETURN QUERY SELECT 0::numeric, 'no_tenant' FROM unnest(call_uuids);
    RETURN;
  END IF;

  FOR i IN 1 .. cardinality(call_uuids) LOOP
    SELECT coalesce(sum(amount), 0),
      coalesce(sum(amount) FILTER (WHERE attempt_id = attempt_ids[i]), 0),
      greatest(sum(amount) FILTER (WHERE attempt_id = after_ids[i]) - after_costs[i], 0),
      EXISTS (SELECT FROM call_keys WHERE call_uuid = call_uuids[i])
    INTO of_call, own, spare, is_over
    FROM reservations WHERE tenant_id = of_tenant AND call_uuid = call_uuids[i];
    held := own;
    refusal := NULL;
    IF is_over THEN
      refusal := 'call_over';
    ELSE
      left_of_call := per_call - of_call;
      more := greatest(least(wants[i] - own - spare, available, left_today, left_of_call), 0);
      IF own + spare + more < leasts[i] THEN
        refusal := CASE
          WHEN available <= more THEN 'no_credit'
          WHEN left_today <= more THEN 'daily_cap'
          ELSE 'call_cap'
        END;
      ELSE
        held := own + spare + more;
        IF held > own THEN
          INSERT INTO reservations (tenant_id, call_uuid, attempt_id, amount)
          VALUES (of_tenant, call_uuids[i], attempt_ids[i], held)
          ON CONFLICT (tenant_id, call_uuid, attempt_id)
          DO UPDATE SET amount = excluded.amount, updated_at = now();
        END IF;
        IF spare > 0 THEN
          UPDATE reservations SET amount = amount - spare, updated_at = now()
          WHERE tenant_id = of_tenant AND call_uuid = call_uuids[i] AND attempt_id = after_ids[i];
        END IF;
        available := available - more;
        left_today := left_today - more;
        total := total + more;
      END IF;
    END IF;
    RETURN NEXT;
  END LOOP;

  IF total > 0 THEN
    UPDATE balances SET reserved = reserved + total, updated_at = now() WHERE tenant_id = of_tenant;
  END IF;
END $$;

-- Takes away all reservations of these calls; answers what each tenant's came to. The balances must be locked:
-- `locked`, which is not used, is worked out from their locked rows, so that the caller's statement cannot begin
-- with this. A function for the same reason as reserve_credit: what was reserved while the caller waited for
-- the lock is seen.
CREATE FUNCTION release_reservations(tenant_ids text[], call_uuids text[], locked bigint)
RETURNS TABLE (tenant_id text, released numeric) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH gone AS (
    DELETE FROM reservations r USING unnest(tenant_ids, call_uuids) AS call (tenant_id, call_uuid)
    WHERE r.tenant_id = call.tenant_id AND r.call_uuid = call.call_uuid
    RETURNING r.tenant_id, r.amount
  )
  SELECT gone.tenant_id, sum(gone.amount) FROM gone GROUP BY gone.tenant_id;
END $$;

-- Tells whoever listens on the channel `linger_events` that a balance fell below its threshold; with the
-- transaction that took it there, or not at all.
CREATE FUNCTION tell_low_balance(tenant text, balance numeric, threshold numeric, currency text)
RETURNS void LANGUAGE sql AS $$
  SELECT pg_notify('linger_events', json_build_object('event', 'low_balance', 'tenant', tenant,
    'balance', balance::text, 'threshold', threshold::text, 'currency', currency, 'at', now())::text)
$$;

-- What was booked by hand is few lines among many debits, and is looked for. A call's commit writes nothing here.
CREATE INDEX ledger_bookings ON ledger (tenant_id, id) WHERE kind <> 'debit';
CREATE INDEX ledger_bookings_of_call ON ledger (call_uuid) WHERE kind <> 'debit';
