-- API keys, where users have logged in from, since when rates are counted, and tiers beside the roles.

CREATE OR REPLACE VIEW live_sessions AS
    SELECT s.id, s.user_id, s.expires_at, u.roles, u.tier FROM sessions s JOIN users u ON u.id = s.user_id
    WHERE s.revoked_at IS NULL AND s.expires_at > now() AND u.is_active;

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name bytea NOT NULL,                 -- through the codec
    key_hash bytea NOT NULL UNIQUE,      -- SHA-256
    hint text NOT NULL,                  -- how the key begins, so that its owner can tell which it is
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz
);
CREATE INDEX api_keys_user ON api_keys (user_id);

CREATE TABLE login_places (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    place bytea NOT NULL,                -- keyed hash of a login and the network it was right from
    last_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (place)
);
CREATE INDEX login_places_user ON login_places (user_id);

CREATE TABLE rate_limits_begun (         -- one row: a Redis that knows nothing has lost its memory if this is older
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    at timestamptz NOT NULL DEFAULT now()
);
