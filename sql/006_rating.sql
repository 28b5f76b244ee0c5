-- What a rate may say besides its price, what a tenant may call, and how nodes learn of a change.

ALTER TABLE rates
  -- The order of bytes, whatever the database's own: the key's index then brings a deck as it is built in memory.
  ALTER COLUMN prefix TYPE text COLLATE "C",
  ADD COLUMN connection_fee numeric(24, 6) NOT NULL DEFAULT 0 CHECK (connection_fee >= 0 AND connection_fee < 'NaN'),
  -- 30/6 is a minimum of 30 and an increment of 6. No increment: by the millisecond.
  ADD COLUMN minimum_seconds integer NOT NULL DEFAULT 0 CHECK (minimum_seconds BETWEEN 0 AND 1000000),
  ADD COLUMN increment_seconds integer NOT NULL DEFAULT 0 CHECK (increment_seconds BETWEEN 0 AND 1000000),
  -- A shorter leg is free.
  ADD COLUMN grace_seconds integer NOT NULL DEFAULT 0 CHECK (grace_seconds BETWEEN 0 AND 1000000),
  ADD COLUMN minimum_cost numeric(24, 6) CHECK (minimum_cost >= 0 AND minimum_cost < 'NaN'),
  ADD COLUMN maximum_cost numeric(24, 6) CHECK (maximum_cost >= 0 AND maximum_cost < 'NaN'),
  -- In force from the one moment up to the other. Of rates of one prefix that are in force at once, the one
  -- that came into force last counts: a new price needs no end of the old one.
  ADD COLUMN valid_from timestamptz NOT NULL DEFAULT '-infinity' CHECK (valid_from < 'infinity'),
  ADD COLUMN valid_to timestamptz,
  ADD COLUMN rounding_mode text NOT NULL DEFAULT 'half_up'
    CHECK (rounding_mode IN ('up', 'down', 'half_up', 'half_even')),
  ADD COLUMN rounding_decimals smallint NOT NULL DEFAULT 2 CHECK (rounding_decimals BETWEEN 0 AND 6),
  ADD CHECK (valid_from < valid_to),
  ADD CHECK (minimum_cost <= maximum_cost),
  -- Of a bound between two roundings either the bound could be kept or the rounding.
  ADD CHECK (minimum_cost = round(minimum_cost, rounding_decimals)),
  ADD CHECK (maximum_cost = round(maximum_cost, rounding_decimals)),
  DROP CONSTRAINT rates_pkey,
  ADD PRIMARY KEY (deck_id, prefix, valid_from),
  -- A foreign key asks once a row: a million take 21 s to load with it and 13 s without. Below it is asked once a
  -- statement.
  DROP CONSTRAINT rates_deck_id_fkey;

CREATE FUNCTION follow_deck() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    -- Not TRUNCATE: who empties both tables in one statement may not do it twice.
    DELETE FROM rates;
  ELSIF TG_OP = 'DELETE' THEN
    DELETE FROM rates WHERE deck_id = OLD.id;
  ELSE
    UPDATE rates SET deck_id = NEW.id WHERE deck_id = OLD.id;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER decks_rates AFTER DELETE OR UPDATE OF id ON decks FOR EACH ROW EXECUTE FUNCTION follow_deck();
CREATE TRIGGER decks_truncated AFTER TRUNCATE ON decks FOR EACH STATEMENT EXECUTE FUNCTION follow_deck();

ALTER TABLE tenants
  -- What its own numbers and extensions cost when they are called. None: nothing.
  ADD COLUMN inbound_deck_id text,
  ADD FOREIGN KEY (inbound_deck_id, currency) REFERENCES decks (id, currency),
  -- Whether it may call, for nothing, what has no rate.
  ADD COLUMN allows_unrated boolean NOT NULL DEFAULT false,
  -- Normal form: what is local to it, 8424 for one in Hanoi.
  ADD COLUMN local_prefixes text[] NOT NULL DEFAULT '{}'
    CHECK (array_to_string(local_prefixes, ',', '?') ~ '^([0-9]{1,32}(,[0-9]{1,32})*)?$'),
  -- Whose midnight ends the day of its daily cap. An unknown zone is an error of the check itself.
  ADD COLUMN time_zone text NOT NULL DEFAULT 'UTC'
    CHECK (time_zone ~ '^[A-Za-z_]+(/[A-Za-z0-9_+-]+)*$' AND timezone(time_zone, timestamptz '2000-01-01Z') IS NOT NULL),
  ADD COLUMN daily_spend_cap numeric(24, 6) CHECK (daily_spend_cap >= 0 AND daily_spend_cap < 'NaN'),
  ADD COLUMN maximum_call_cost numeric(24, 6) CHECK (maximum_call_cost >= 0 AND maximum_call_cost < 'NaN');

-- As in the directory of FreeSWITCH: the classes of number that the extension may call. None: all of them.
ALTER TABLE extensions
  ADD COLUMN toll_allow text[]
    CHECK (toll_allow <@ '{local,domestic,international,premium,emergency}' AND array_position(toll_allow, NULL) IS NULL);

-- What a tenant may not call, whatever it costs.
CREATE TABLE blocked_destinations (
  tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  -- Normal form. Empty: every number.
  prefix text NOT NULL CHECK (prefix ~ '^[0-9]{0,32}$'),
  prefix_entered text NOT NULL,
  description text NOT NULL DEFAULT '',
  PRIMARY KEY (tenant_id, prefix)
);
CREATE TRIGGER blocked_destinations_catalog AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON blocked_destinations
  FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog('directory');

-- Nodes listen, so that a change is in force at once; one that missed the notice finds the version.
CREATE OR REPLACE FUNCTION bump_catalog() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE catalog_version SET version = version + 1 WHERE part = TG_ARGV[0];
  PERFORM pg_notify('linger_catalog', TG_ARGV[0]);
  RETURN NULL;
END $$;

-- Which rates a version of `catalog_version` changed: of a deck of a million a node reads the one that is new.
CREATE TABLE rate_changes (
  version bigint NOT NULL,
  -- None: every deck.
  deck_id text,
  -- None: the deck as a whole.
  prefix text
);
CREATE INDEX rate_changes_version ON rate_changes (version);

-- The version is raised before anything is noted, and its row stays locked to the end of the transaction:
-- whoever sees a version sees all that was noted up to it. A node that is more than 1000 versions behind reads
-- everything (src/store/rates.ts), so that nothing older need be kept.
CREATE FUNCTION note_rate_changes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  deck_ids text[];
  noted bigint;
BEGIN
  IF TG_OP <> 'TRUNCATE' THEN
    deck_ids := ARRAY(SELECT DISTINCT deck_id FROM changed);
    IF deck_ids = '{}' THEN RETURN NULL; END IF;
  END IF;
  IF TG_OP IN ('INSERT', 'UPDATE') THEN
    -- The foreign key: nobody deletes the deck before this transaction ends.
    PERFORM FROM decks WHERE id = ANY (deck_ids) FOR KEY SHARE;
    IF EXISTS (SELECT FROM unnest(deck_ids) AS named (id) WHERE id NOT IN (SELECT id FROM decks)) THEN
      RAISE foreign_key_violation USING MESSAGE = 'rates of a deck that does not exist', TABLE = 'rates';
    END IF;
  END IF;
  UPDATE catalog_version SET version = version + 1 WHERE part = 'rates' RETURNING version INTO noted;
  IF TG_OP = 'TRUNCATE' THEN
    INSERT INTO rate_changes (version) VALUES (noted);
  ELSIF (SELECT count(*) FROM (SELECT FROM changed LIMIT 1001) AS first_rows) > 1000 THEN
    INSERT INTO rate_changes (version, deck_id) SELECT noted, unnest(deck_ids);
    IF TG_OP = 'UPDATE' THEN
      INSERT INTO rate_changes (version, deck_id) SELECT DISTINCT noted, deck_id FROM before;
    END IF;
  ELSE
    INSERT INTO rate_changes SELECT DISTINCT noted, deck_id, prefix FROM changed;
    IF TG_OP = 'UPDATE' THEN
      INSERT INTO rate_changes SELECT DISTINCT noted, deck_id, prefix FROM before;
    END IF;
  END IF;
  DELETE FROM rate_changes WHERE version <= noted - 1000;
  PERFORM pg_notify('linger_catalog', 'rates');
  RETURN NULL;
END $$;

DROP TRIGGER rates_catalog ON rates;
CREATE TRIGGER rates_inserted AFTER INSERT ON rates REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION note_rate_changes();
CREATE TRIGGER rates_updated AFTER UPDATE ON rates REFERENCING OLD TABLE AS before NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION note_rate_changes();
CREATE TRIGGER rates_deleted AFTER DELETE ON rates REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION note_rate_changes();
CREATE TRIGGER rates_truncated AFTER TRUNCATE ON rates
  FOR EACH STATEMENT EXECUTE FUNCTION note_rate_changes();
-- A deck is what its rates are; nothing of its own is looked up.
DROP TRIGGER decks_catalog ON decks;
