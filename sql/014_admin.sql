-- Who may use the HTTP API, and who changed what by it.

ALTER TABLE api_keys
  -- From then on it is good for nothing. None: never.
  ADD COLUMN expires_at timestamptz,
  -- To the minute; the last of all nodes.
  ADD COLUMN last_used_at timestamptz,
  -- Of each node. None: what the node's setting says.
  ADD COLUMN requests_per_minute integer CHECK (requests_per_minute > 0),
  -- The key that made it. None: the server itself.
  ADD COLUMN created_by uuid REFERENCES api_keys ON DELETE SET NULL;

-- No foreign keys: a line outlives the tenant and the key that it tells of.
CREATE TABLE audit_lines (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- Of the statement, not of its transaction: lines of one import are told apart.
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  key_id uuid NOT NULL,
  -- Where it was asked from.
  address text NOT NULL,
  -- The operation's name in openapi.json.
  action text NOT NULL,
  -- None: it is no tenant's.
  tenant_id text,
  -- What was changed, in words: `extension demo/1000`.
  target text NOT NULL,
  -- As the API shows it; none before it was made, and after it was deleted.
  before jsonb,
  after jsonb,
  -- What was announced here and then could not be done: why.
  failure text
);
CREATE INDEX audit_lines_tenant ON audit_lines (tenant_id, id);
CREATE INDEX audit_lines_key ON audit_lines (key_id, id);
CREATE INDEX audit_lines_action ON audit_lines (action, id);
CREATE INDEX audit_lines_target ON audit_lines (target, id);
CREATE INDEX audit_lines_at ON audit_lines (at);
CREATE TRIGGER audit_lines_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_lines
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
