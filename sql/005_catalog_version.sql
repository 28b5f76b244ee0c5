-- What a call looks up is held in memory by every node (src/store/catalog.ts), which polls these rows and
-- reads again what changed. Rates apart from the rest: they may be a million, and a new extension shall not
-- make every node read them.
CREATE TABLE catalog_version (
  part text PRIMARY KEY CHECK (part IN ('directory', 'rates')),
  version bigint NOT NULL
);
INSERT INTO catalog_version VALUES ('directory', 1), ('rates', 1);

-- A statement that changed no row bumps it too; an idle reload is cheaper than a trigger on each row.
CREATE FUNCTION bump_catalog() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE catalog_version SET version = version + 1 WHERE part = TG_ARGV[0];
  RETURN NULL;
END $$;

CREATE TRIGGER tenants_catalog AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tenants
  FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog('directory');
CREATE TRIGGER extensions_catalog AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON extensions
  FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog('directory');
CREATE TRIGGER accounts_catalog AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON accounts
  FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog('directory');
CREATE TRIGGER numbers_catalog AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON numbers
  FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog('directory');
CREATE TRIGGER gateways_catalog AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON gateways
  FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog('directory');
CREATE TRIGGER decks_catalog AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON decks
  FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog('rates');
CREATE TRIGGER rates_catalog AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON rates
  FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog('rates');
