-- Keys of the HTTP API. Only a hash is kept: whoever reads this table can call nothing.
CREATE TABLE api_keys (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  -- SHA-256 of the key's text. No salt and no slow hash: a key is random bytes, not a chosen password.
  hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
  -- What it may do is the HTTP API's matter.
  role text NOT NULL CHECK (role ~ '^[a-z][a-z_]{0,31}$'),
  -- None: every tenant.
  tenant_id text REFERENCES tenants ON DELETE CASCADE,
  description text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT now(),
  revoked_at timestamptz
);
CREATE INDEX api_keys_tenant ON api_keys (tenant_id);
