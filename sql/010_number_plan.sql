-- Which called number leads where, and how nodes learn of a change of one among 100,000.

-- Which rows a version of `catalog_version` changed: a node reads those alone (src/store/changes.ts). As for rates
-- (006_rating.sql), the version's row stays locked to the end of the transaction, so that whoever sees a version sees
-- all that was noted up to it; who is more than 1000 versions behind reads everything.
CREATE TABLE catalog_changes (
  part text NOT NULL,
  version bigint NOT NULL,
  -- The table; none: everything of the part.
  source text,
  tenant_id text,
  key text
);
CREATE INDEX catalog_changes_version ON catalog_changes (part, version);

ALTER TABLE catalog_version DROP CONSTRAINT catalog_version_part_check;
ALTER TABLE catalog_version ADD CONSTRAINT catalog_version_part_check
  CHECK (part IN ('directory', 'rates', 'numbers', 'flows'));
INSERT INTO catalog_version VALUES ('numbers', 1), ('flows', 1);

-- Arguments: the part; the column that names a row (within its tenant).
CREATE FUNCTION note_changes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  noted bigint;
  is_few boolean := false;
BEGIN
  IF TG_OP <> 'TRUNCATE' THEN
    IF NOT EXISTS (SELECT FROM changed) THEN RETURN NULL; END IF;
    is_few := (SELECT count(*) FROM (SELECT FROM changed LIMIT 1001) AS first_rows) <= 1000;
  END IF;
  UPDATE catalog_version SET version = version + 1 WHERE part = TG_ARGV[0] RETURNING version INTO noted;
  IF is_few THEN
    INSERT INTO catalog_changes
    SELECT DISTINCT TG_ARGV[0], noted, TG_TABLE_NAME, to_jsonb(changed) ->> 'tenant_id', to_jsonb(changed) ->> TG_ARGV[1]
    FROM changed;
    IF TG_OP = 'UPDATE' THEN
      INSERT INTO catalog_changes
      SELECT DISTINCT TG_ARGV[0], noted, TG_TABLE_NAME, to_jsonb(before) ->> 'tenant_id', to_jsonb(before) ->> TG_ARGV[1]
      FROM before;
    END IF;
  ELSE
    INSERT INTO catalog_changes (part, version) VALUES (TG_ARGV[0], noted);
  END IF;
  DELETE FROM catalog_changes WHERE part = TG_ARGV[0] AND version <= noted - 1000;
  PERFORM pg_notify('linger_catalog', TG_ARGV[0]);
  RETURN NULL;
END $$;

-- DIDs are read apart from the rest of the directory: they may be as many as the plan's entries.
DROP TRIGGER numbers_catalog ON numbers;
CREATE TRIGGER numbers_inserted AFTER INSERT ON numbers REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION note_changes('numbers', 'number');
CREATE TRIGGER numbers_updated AFTER UPDATE ON numbers REFERENCING OLD TABLE AS before NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION note_changes('numbers', 'number');
CREATE TRIGGER numbers_deleted AFTER DELETE ON numbers REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION note_changes('numbers', 'number');
CREATE TRIGGER numbers_truncated AFTER TRUNCATE ON numbers
  FOR EACH STATEMENT EXECUTE FUNCTION note_changes('numbers');

CREATE TABLE number_plan (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  -- None: of calls in any.
  direction text CHECK (direction IN ('inbound', 'outbound', 'internal')),
  kind text NOT NULL CHECK (kind IN ('exact', 'range', 'prefix')),
  -- In normal form, where there is one; this is looked up. An empty prefix: every number.
  number text COLLATE "C" NOT NULL CHECK (number ~ '^[0-9A-Za-z+*#._-]{0,64}$' AND (number <> '' OR kind = 'prefix')),
  number_to text COLLATE "C",
  -- As somebody typed them: shown. A prefix is looked up so, too.
  entered text COLLATE "C" NOT NULL CHECK (entered ~ '^[0-9A-Za-z+*#._-]{0,64}$'),
  entered_to text COLLATE "C",
  step jsonb NOT NULL
    CHECK ((jsonb_typeof(step -> 'route') = 'string') IS TRUE AND octet_length(step::text) <= 16384),
  -- Counts up with each change.
  version integer NOT NULL DEFAULT 1,
  updated_at timestamptz NOT NULL DEFAULT now(),
  -- How many numbers it has but one.
  width numeric GENERATED ALWAYS AS (CASE kind WHEN 'range' THEN number_to::numeric - number::numeric END) STORED,
  -- Nobody else's: callers from outside reach this tenant there. A short number, or a name, may be several tenants':
  -- it is looked up once it is known whose the call is.
  claims boolean NOT NULL
    GENERATED ALWAYS AS (coalesce(direction = 'inbound' AND number ~ '^[0-9]{7}', false)) STORED,
  -- Of a range that claims, its numbers: with a 1 before them, so that those of another length lie elsewhere.
  block int8range GENERATED ALWAYS AS (
    CASE WHEN kind = 'range' AND direction = 'inbound' AND length(number) BETWEEN 7 AND 17 AND length(number_to) <= 17
      THEN int8range(('1' || number)::bigint, ('1' || number_to)::bigint, '[]') END
  ) STORED,
  CONSTRAINT number_plan_range CHECK (
    CASE kind
      WHEN 'range' THEN number_to IS NOT NULL AND entered_to IS NOT NULL AND number ~ '^[0-9]{1,32}$'
        AND number_to ~ '^[0-9]{1,32}$' AND length(number) = length(number_to) AND number <= number_to
      ELSE number_to IS NULL AND entered_to IS NULL
    END
  ),
  -- An inbound entry says whose the numbers are, and no call to them goes out: they are those that a tenant can have.
  CONSTRAINT number_plan_inbound CHECK (
    direction IS DISTINCT FROM 'inbound' OR (
      CASE kind
        WHEN 'prefix' THEN number ~ '^[0-9]{7}'
        WHEN 'range' THEN length(number) <= 17 AND number_to::numeric - number::numeric < 1000000
        ELSE true
      END
    )
  ),
  -- What the references' foreign key points at.
  UNIQUE (tenant_id, id)
);
-- Of two such entries none would be the narrower one.
CREATE UNIQUE INDEX number_plan_numbers
  ON number_plan (tenant_id, kind, number, coalesce(number_to, ''), coalesce(direction, ''));
CREATE INDEX number_plan_neighbours
  ON number_plan (tenant_id, coalesce(direction, ''), length(number), width, number) WHERE kind = 'range';
CREATE INDEX number_plan_claims ON number_plan (number) WHERE claims;
CREATE INDEX number_plan_claimed_prefixes ON number_plan (number) WHERE claims AND kind = 'prefix';
CREATE INDEX number_plan_claimed_blocks ON number_plan USING gist (block) WHERE block IS NOT NULL;
CREATE INDEX numbers_in_order ON numbers (number COLLATE "C");

CREATE TRIGGER number_plan_inserted AFTER INSERT ON number_plan REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION note_changes('numbers', 'id');
CREATE TRIGGER number_plan_updated AFTER UPDATE ON number_plan REFERENCING OLD TABLE AS before NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION note_changes('numbers', 'id');
CREATE TRIGGER number_plan_deleted AFTER DELETE ON number_plan REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION note_changes('numbers', 'id');
CREATE TRIGGER number_plan_truncated AFTER TRUNCATE ON number_plan
  FOR EACH STATEMENT EXECUTE FUNCTION note_changes('numbers');

-- Where in the order of bytes an entry's numbers end: `~` comes after every character that a number may have.
CREATE FUNCTION last_planned(kind text, number text, number_to text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE kind WHEN 'exact' THEN number WHEN 'range' THEN number_to ELSE number || '~' END
$$;

-- The numbers of a prefix as `block` has those of a range: up to 17 digits, which no number on earth exceeds.
CREATE FUNCTION prefix_blocks(prefix text) RETURNS int8multirange LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(range_agg(int8range(
    rpad('1' || prefix, length + 1, '0')::bigint, rpad('1' || prefix, length + 1, '9')::bigint, '[]')), '{}')
  FROM generate_series(length(prefix), 17) AS length
$$;

-- Whether an entry has numbers in common with one that begins within it: a range has numbers of one length alone.
CREATE FUNCTION has_common_number(kind text, number text, within_kind text, within_number text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE
    WHEN kind = 'prefix' THEN true
    WHEN within_kind = 'prefix' THEN length(within_number) <= length(number)
    ELSE length(within_number) = length(number)
  END
$$;

-- Words for an error: what somebody typed.
CREATE FUNCTION plan_words(kind text, entered text, entered_to text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE kind
    WHEN 'exact' THEN entered
    WHEN 'range' THEN entered || ' to ' || entered_to
    ELSE 'what begins with "' || entered || '"'
  END
$$;

-- Refuses ranges of one width that overlap, and what is another tenant's. The lock, which whoever notes a change has
-- as well: no two look at the same time and miss each other's. The statements after it see what was committed before.
-- Each row is looked up by an index, however many were written at once: that is what the LIMITs in the joins are for.
CREATE FUNCTION refuse_ambiguous_plan() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  fault record;
BEGIN
  PERFORM FROM catalog_version WHERE part = 'numbers' FOR NO KEY UPDATE;
  -- Of ranges that overlap, some two that are next to each other do.
  SELECT plan_words('range', given.entered, given.entered_to) AS given,
    plan_words('range', other.entered, other.entered_to) AS other INTO fault
  FROM changed AS given CROSS JOIN LATERAL (
    (
      SELECT entered, entered_to, number, number_to FROM number_plan
      WHERE kind = 'range' AND tenant_id = given.tenant_id AND coalesce(direction, '') = coalesce(given.direction, '')
        AND length(number) = length(given.number) AND width = given.width AND number >= given.number AND id <> given.id
      ORDER BY number LIMIT 1
    ) UNION ALL (
      SELECT entered, entered_to, number, number_to FROM number_plan
      WHERE kind = 'range' AND tenant_id = given.tenant_id AND coalesce(direction, '') = coalesce(given.direction, '')
        AND length(number) = length(given.number) AND width = given.width AND number <= given.number AND id <> given.id
      ORDER BY number DESC LIMIT 1
    )
  ) AS other
  WHERE given.kind = 'range' AND other.number <= given.number_to AND other.number_to >= given.number
  LIMIT 1;
  IF FOUND THEN
    RAISE unique_violation USING TABLE = 'number_plan', CONSTRAINT = 'number_plan_overlap',
      MESSAGE = format('%s and %s overlap and are equally wide: neither would be the narrower one',
        fault.given, fault.other);
  END IF;

  -- What begins within it.
  SELECT given.*, other.tenant_id AS owner INTO fault
  FROM changed AS given CROSS JOIN LATERAL (
    SELECT tenant_id FROM number_plan
    WHERE claims AND tenant_id <> given.tenant_id
      AND number BETWEEN given.number AND last_planned(given.kind, given.number, given.number_to)
      AND has_common_number(given.kind, given.number, kind, number)
    UNION ALL
    SELECT tenant_id FROM numbers
    WHERE number COLLATE "C" BETWEEN given.number AND last_planned(given.kind, given.number, given.number_to)
      AND tenant_id <> given.tenant_id AND has_common_number(given.kind, given.number, 'exact', number)
    LIMIT 1
  ) AS other
  WHERE given.claims LIMIT 1;
  -- What it begins with.
  IF NOT FOUND AND EXISTS (SELECT FROM number_plan WHERE claims AND kind = 'prefix') THEN
    SELECT given.*, other.tenant_id AS owner INTO fault
    FROM changed AS given CROSS JOIN generate_series(7, length(given.number)) AS length CROSS JOIN LATERAL (
      SELECT tenant_id FROM number_plan
      WHERE claims AND kind = 'prefix' AND number = left(given.number, length)
        AND tenant_id <> given.tenant_id
      LIMIT 1
    ) AS other
    WHERE given.claims LIMIT 1;
  END IF;
  -- Ranges that it lies in, or overlaps.
  IF NOT FOUND AND EXISTS (SELECT FROM number_plan WHERE block IS NOT NULL) THEN
    SELECT given.*, other.tenant_id AS owner INTO fault
    FROM changed AS given CROSS JOIN LATERAL (
      SELECT tenant_id FROM number_plan
      WHERE block IS NOT NULL AND tenant_id <> given.tenant_id AND given.kind <> 'prefix' AND block &&
        int8range(('1' || given.number)::bigint, ('1' || coalesce(given.number_to, given.number))::bigint, '[]')
      UNION ALL
      SELECT tenant_id FROM number_plan
      WHERE block IS NOT NULL AND tenant_id <> given.tenant_id AND given.kind = 'prefix'
        AND block && prefix_blocks(given.number)
      LIMIT 1
    ) AS other
    WHERE given.claims AND given.number ~ '^[0-9]{1,17}$' LIMIT 1;
  END IF;
  IF FOUND THEN
    RAISE unique_violation USING TABLE = 'number_plan', CONSTRAINT = 'number_plan_claim', DETAIL = fault.owner,
      MESSAGE = format('%s: a number of these is another tenant''s',
        plan_words(fault.kind, fault.entered, fault.entered_to));
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER number_plan_inserted_right AFTER INSERT ON number_plan REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_ambiguous_plan();
CREATE TRIGGER number_plan_updated_right AFTER UPDATE ON number_plan REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_ambiguous_plan();

CREATE FUNCTION refuse_claimed_number() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  fault record;
BEGIN
  PERFORM FROM catalog_version WHERE part = 'numbers' FOR NO KEY UPDATE;
  SELECT given.number, other.tenant_id AS owner INTO fault
  FROM changed AS given CROSS JOIN LATERAL (
    SELECT tenant_id FROM number_plan
    WHERE claims AND kind = 'exact' AND number = given.number COLLATE "C"
      AND tenant_id <> given.tenant_id
    LIMIT 1
  ) AS other
  LIMIT 1;
  IF NOT FOUND AND EXISTS (SELECT FROM number_plan WHERE claims AND kind = 'prefix') THEN
    SELECT given.number, other.tenant_id AS owner INTO fault
    FROM changed AS given CROSS JOIN generate_series(7, length(given.number)) AS length CROSS JOIN LATERAL (
      SELECT tenant_id FROM number_plan
      WHERE claims AND kind = 'prefix' AND number = left(given.number, length) COLLATE "C"
        AND tenant_id <> given.tenant_id
      LIMIT 1
    ) AS other
    LIMIT 1;
  END IF;
  IF NOT FOUND AND EXISTS (SELECT FROM number_plan WHERE block IS NOT NULL) THEN
    SELECT given.number, other.tenant_id AS owner INTO fault
    FROM changed AS given CROSS JOIN LATERAL (
      SELECT tenant_id FROM number_plan
      WHERE block IS NOT NULL AND block @> ('1' || given.number)::bigint AND tenant_id <> given.tenant_id
      LIMIT 1
    ) AS other
    WHERE given.number ~ '^[0-9]{1,17}$' LIMIT 1;
  END IF;
  IF FOUND THEN
    RAISE unique_violation USING TABLE = 'numbers', CONSTRAINT = 'numbers_claim', DETAIL = fault.owner,
      MESSAGE = format('%s is another tenant''s by its number plan', fault.number);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER numbers_inserted_right AFTER INSERT ON numbers REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_claimed_number();
CREATE TRIGGER numbers_updated_right AFTER UPDATE ON numbers REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_claimed_number();

-- The numbers of a plan are in the normal form of the country that its tenant had when they were saved. Whoever saves
-- one holds the tenant's row (src/store/number-plan.ts): no entry comes in between.
CREATE FUNCTION refuse_country_of_plan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM number_plan WHERE tenant_id = NEW.id) THEN
    RAISE restrict_violation USING TABLE = 'tenants', CONSTRAINT = 'tenants_country_of_plan',
      MESSAGE = format('the country of %s cannot change while its number plan has entries, which are read by it', NEW.id);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER tenants_country_of_plan BEFORE UPDATE OF country ON tenants FOR EACH ROW
  WHEN (OLD.country <> NEW.country) EXECUTE FUNCTION refuse_country_of_plan();
