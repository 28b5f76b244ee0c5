-- Menus and opening hours, as JSON of the shapes of src/store/flow.ts, and what refers to what.

CREATE TABLE flows (
  tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  kind text NOT NULL CHECK (kind IN ('menu', 'hours')),
  id text NOT NULL COLLATE "C" CHECK (id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  -- Counts up with each change, and goes on from where it was when one of this id comes back.
  version integer NOT NULL,
  definition jsonb NOT NULL CHECK (jsonb_typeof(definition) = 'object' AND octet_length(definition::text) <= 65536),
  saved_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, kind, id)
);

-- Every version that there was: a call keeps the one that it began with, even if that is deleted meanwhile.
CREATE TABLE flow_versions (
  tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  kind text NOT NULL,
  id text NOT NULL COLLATE "C",
  version integer NOT NULL,
  definition jsonb NOT NULL,
  saved_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, kind, id, version)
);

-- Whoever writes, by hand too, makes a new version.
CREATE FUNCTION number_flow_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  SELECT coalesce(max(version), 0) + 1 INTO NEW.version FROM flow_versions
  WHERE tenant_id = NEW.tenant_id AND kind = NEW.kind AND id = NEW.id;
  NEW.saved_at := now();
  RETURN NEW;
END $$;
CREATE TRIGGER flows_versioned BEFORE INSERT OR UPDATE ON flows
  FOR EACH ROW EXECUTE FUNCTION number_flow_version();

CREATE FUNCTION keep_flow_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO flow_versions (tenant_id, kind, id, version, definition, saved_at)
  VALUES (NEW.tenant_id, NEW.kind, NEW.id, NEW.version, NEW.definition, NEW.saved_at);
  RETURN NULL;
END $$;
CREATE TRIGGER flows_kept AFTER INSERT OR UPDATE ON flows FOR EACH ROW EXECUTE FUNCTION keep_flow_version();

CREATE TRIGGER flows_inserted AFTER INSERT ON flows REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION note_changes('flows', 'id');
CREATE TRIGGER flows_updated AFTER UPDATE ON flows REFERENCING OLD TABLE AS before NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION note_changes('flows', 'id');
CREATE TRIGGER flows_deleted AFTER DELETE ON flows REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION note_changes('flows', 'id');
CREATE TRIGGER flows_truncated AFTER TRUNCATE ON flows
  FOR EACH STATEMENT EXECUTE FUNCTION note_changes('flows');

-- What a menu or an entry of the number plan leads to. No rule for an extension that gets another number: the text
-- that names it would go on naming the old one, so that it is refused.
CREATE TABLE flow_references (
  -- Of its own, so that what goes with a tenant goes before anybody asks what still refers to it.
  tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  from_kind text,
  from_id text COLLATE "C",
  from_plan bigint,
  to_kind text,
  to_id text COLLATE "C",
  to_extension text,
  CHECK ((from_kind IS NULL) = (from_id IS NULL) AND num_nonnulls(from_id, from_plan) = 1),
  CHECK ((to_kind IS NULL) = (to_id IS NULL) AND num_nonnulls(to_id, to_extension) = 1),
  CONSTRAINT flow_references_from_flow
    FOREIGN KEY (tenant_id, from_kind, from_id) REFERENCES flows (tenant_id, kind, id) ON DELETE CASCADE,
  CONSTRAINT flow_references_from_plan
    FOREIGN KEY (tenant_id, from_plan) REFERENCES number_plan (tenant_id, id) ON DELETE CASCADE,
  CONSTRAINT flow_references_to_flow
    FOREIGN KEY (tenant_id, to_kind, to_id) REFERENCES flows (tenant_id, kind, id),
  CONSTRAINT flow_references_to_extension
    FOREIGN KEY (tenant_id, to_extension) REFERENCES extensions (tenant_id, number)
);
CREATE INDEX flow_references_from_flow ON flow_references (tenant_id, from_kind, from_id);
CREATE INDEX flow_references_from_plan ON flow_references (tenant_id, from_plan);
CREATE INDEX flow_references_to_flow ON flow_references (tenant_id, to_kind, to_id);
CREATE INDEX flow_references_to_extension ON flow_references (tenant_id, to_extension);
