-- Decks and rates are changed by several hands: each change says which version of them it was made to.

ALTER TABLE decks ADD COLUMN version integer NOT NULL DEFAULT 1;
ALTER TABLE rates ADD COLUMN version integer NOT NULL DEFAULT 1;

-- Of rows that are added nothing is asked: a million of them come as quickly as before.
CREATE FUNCTION count_rate_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.version := OLD.version + 1;
  RETURN NEW;
END $$;
CREATE TRIGGER decks_version BEFORE UPDATE ON decks FOR EACH ROW EXECUTE FUNCTION count_rate_version();
CREATE TRIGGER rates_version BEFORE UPDATE ON rates FOR EACH ROW EXECUTE FUNCTION count_rate_version();

-- Whose deck it is.
CREATE INDEX tenants_deck ON tenants (deck_id);
CREATE INDEX tenants_inbound_deck ON tenants (inbound_deck_id);
