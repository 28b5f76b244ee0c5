-- Who may call, and over what: tenants and what belongs to them.
-- Names that end up in a dial string are held to characters that mean nothing to the switch.

-- A deck of rates is shared by any number of tenants: a million rates are stored once.
CREATE TABLE decks (
  id text PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  name text NOT NULL CHECK (name <> ''),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  created_at timestamptz NOT NULL DEFAULT now(),
  -- What the tenants' foreign key points at.
  UNIQUE (id, currency)
);

CREATE TABLE rates (
  deck_id text NOT NULL REFERENCES decks ON DELETE CASCADE,
  -- Normal form: international digits. Empty: every number.
  prefix text NOT NULL CHECK (prefix ~ '^[0-9]{0,32}$'),
  -- As somebody typed it (090 in Vietnam is 8490): shown, never looked up.
  prefix_entered text NOT NULL,
  description text NOT NULL DEFAULT '',
  -- NaN is a legal numeric and greater than every number: the upper bound keeps it out, here and below.
  price_per_minute numeric(24, 6) NOT NULL CHECK (price_per_minute >= 0 AND price_per_minute < 'NaN'),
  PRIMARY KEY (deck_id, prefix)
);

CREATE TABLE tenants (
  id text PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  name text NOT NULL CHECK (name <> ''),
  -- ISO 3166 alpha-2: what national numbers are read by.
  country text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  -- SIP domain of its extensions. None: the domain that the call came with.
  domain text CHECK (domain ~ '^[0-9A-Za-z.:_-]{1,253}$'),
  deck_id text,
  max_call_seconds integer NOT NULL DEFAULT 14400 CHECK (max_call_seconds > 0),
  ring_seconds integer NOT NULL DEFAULT 60 CHECK (ring_seconds > 0),
  -- Never screened, billed or refused.
  emergency_numbers text[] NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  -- The currency is part of the key: a deck in another currency would charge the right digits of the wrong money.
  FOREIGN KEY (deck_id, currency) REFERENCES decks (id, currency)
);
-- A domain decides between extensions that several tenants have, so it can only have one owner.
CREATE UNIQUE INDEX tenants_domain ON tenants (lower(domain));

CREATE TABLE extensions (
  tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  number text NOT NULL CHECK (number ~ '^[0-9A-Za-z*#._-]{1,32}$'),
  -- The user name that the phone proves itself with. None: its number.
  auth_username text CHECK (auth_username ~ '^[^[:space:][:cntrl:]]{1,128}$'),
  display_name text,
  PRIMARY KEY (tenant_id, number)
);
CREATE UNIQUE INDEX extensions_auth_username ON extensions (tenant_id, (coalesce(auth_username, number)));

-- `accountcode` of a channel: a tenant's, or one extension's.
CREATE TABLE accounts (
  code text PRIMARY KEY CHECK (code <> '' AND length(code) <= 128),
  tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  extension text,
  FOREIGN KEY (tenant_id, extension) REFERENCES extensions (tenant_id, number) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX accounts_tenant ON accounts (tenant_id, extension);

-- DIDs: a number that is called from outside, in normal form, and whose it is.
CREATE TABLE numbers (
  number text PRIMARY KEY CHECK (number ~ '^[0-9A-Za-z+*#._-]{1,64}$'),
  tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  extension text,
  FOREIGN KEY (tenant_id, extension) REFERENCES extensions (tenant_id, number) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX numbers_tenant ON numbers (tenant_id, extension);

CREATE TABLE gateways (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  -- As the switch knows it: `sofia/gateway/NAME/…`.
  name text NOT NULL CHECK (name ~ '^[0-9A-Za-z._-]{1,64}$'),
  prefix text NOT NULL DEFAULT '' CHECK (prefix ~ '^[0-9]{0,32}$'),
  prefix_entered text NOT NULL DEFAULT '',
  -- Of the gateways with the longest prefix the lowest priority is tried first.
  priority integer NOT NULL DEFAULT 100,
  carrier_cost_per_minute numeric(24, 6) CHECK (carrier_cost_per_minute >= 0 AND carrier_cost_per_minute < 'NaN'),
  UNIQUE (tenant_id, prefix, name)
);
