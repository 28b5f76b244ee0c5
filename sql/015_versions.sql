-- What an admin changes has a version, so that of two who change the same thing at once none loses the other's change.

ALTER TABLE tenants ADD COLUMN version integer NOT NULL DEFAULT 1;
ALTER TABLE extensions ADD COLUMN version integer NOT NULL DEFAULT 1;
ALTER TABLE numbers ADD COLUMN version integer NOT NULL DEFAULT 1;
ALTER TABLE gateways ADD COLUMN version integer NOT NULL DEFAULT 1;

-- Whoever writes, by hand too. One step a transaction: what is between its statements nobody else sees.
CREATE FUNCTION count_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.version := OLD.version;
  IF OLD.xmin <> pg_current_xact_id()::xid THEN NEW.version := OLD.version + 1; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER tenants_version BEFORE UPDATE ON tenants
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION count_version();
CREATE TRIGGER extensions_version BEFORE UPDATE ON extensions
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION count_version();
CREATE TRIGGER numbers_version BEFORE UPDATE ON numbers
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION count_version();
CREATE TRIGGER gateways_version BEFORE UPDATE ON gateways
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION count_version();

-- Account codes and blocked destinations are part of whom they belong to: its version counts them as well.
CREATE FUNCTION count_version_of_owners() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  rows jsonb[] := ARRAY(SELECT to_jsonb(changed) FROM changed);
BEGIN
  IF TG_OP = 'UPDATE' THEN rows := rows || ARRAY(SELECT to_jsonb(before) FROM before); END IF;
  -- What blocked_destinations has are the tenant's own, as are accounts of no extension.
  UPDATE tenants SET version = version + 1
  WHERE id IN (SELECT row ->> 'tenant_id' FROM unnest(rows) AS row WHERE row ->> 'extension' IS NULL);
  UPDATE extensions SET version = version + 1
  WHERE (tenant_id, number) IN (SELECT row ->> 'tenant_id', row ->> 'extension' FROM unnest(rows) AS row);
  RETURN NULL;
END $$;
CREATE TRIGGER accounts_added AFTER INSERT ON accounts REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION count_version_of_owners();
CREATE TRIGGER accounts_altered AFTER UPDATE ON accounts REFERENCING OLD TABLE AS before NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION count_version_of_owners();
CREATE TRIGGER accounts_removed AFTER DELETE ON accounts REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION count_version_of_owners();
CREATE TRIGGER blocked_destinations_added AFTER INSERT ON blocked_destinations REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION count_version_of_owners();
CREATE TRIGGER blocked_destinations_altered AFTER UPDATE ON blocked_destinations
  REFERENCING OLD TABLE AS before NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION count_version_of_owners();
CREATE TRIGGER blocked_destinations_removed AFTER DELETE ON blocked_destinations REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION count_version_of_owners();

-- Whoever changes the directory has the lock of its version in the end (005_catalog_version.sql). Taken first, the rows
-- of several tables can be locked in any order: else a new account code, which then changes its tenant, and a tenant
-- that is given one would wait for each other.
CREATE FUNCTION lock_directory() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM catalog_version WHERE part = 'directory' FOR NO KEY UPDATE;
  RETURN NULL;
END $$;
CREATE TRIGGER tenants_in_line BEFORE INSERT OR UPDATE OR DELETE ON tenants
  FOR EACH STATEMENT EXECUTE FUNCTION lock_directory();
CREATE TRIGGER extensions_in_line BEFORE INSERT OR UPDATE OR DELETE ON extensions
  FOR EACH STATEMENT EXECUTE FUNCTION lock_directory();
CREATE TRIGGER accounts_in_line BEFORE INSERT OR UPDATE OR DELETE ON accounts
  FOR EACH STATEMENT EXECUTE FUNCTION lock_directory();
CREATE TRIGGER blocked_destinations_in_line BEFORE INSERT OR UPDATE OR DELETE ON blocked_destinations
  FOR EACH STATEMENT EXECUTE FUNCTION lock_directory();
CREATE TRIGGER gateways_in_line BEFORE INSERT OR UPDATE OR DELETE ON gateways
  FOR EACH STATEMENT EXECUTE FUNCTION lock_directory();

-- A DID is bought: it does not go because the phone goes that it rang.
ALTER TABLE numbers
  DROP CONSTRAINT numbers_tenant_id_extension_fkey,
  ADD CONSTRAINT numbers_extension_fkey
    FOREIGN KEY (tenant_id, extension) REFERENCES extensions (tenant_id, number) ON UPDATE CASCADE;
CREATE INDEX numbers_of_tenant ON numbers (tenant_id, number COLLATE "C");
-- The limits of a gateway are the smallest of its name.
CREATE INDEX gateways_name ON gateways (name);

-- What was paid in is money of the currency that the tenant had then. After the foreign keys to the decks: of two
-- reasons the first is the one that can be helped.
CREATE FUNCTION refuse_currency_of_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Nobody books or reserves in the meantime.
  PERFORM FROM balances WHERE tenant_id = NEW.id FOR UPDATE;
  IF EXISTS (SELECT FROM ledger WHERE tenant_id = NEW.id)
    OR EXISTS (SELECT FROM reservations WHERE tenant_id = NEW.id)
  THEN
    RAISE restrict_violation USING TABLE = 'tenants', CONSTRAINT = 'tenants_currency_of_ledger',
      MESSAGE = format('the currency of %s cannot change: its ledger is in it', NEW.id);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER tenants_currency_of_ledger AFTER UPDATE OF currency ON tenants FOR EACH ROW
  WHEN (OLD.currency <> NEW.currency) EXECUTE FUNCTION refuse_currency_of_ledger();
