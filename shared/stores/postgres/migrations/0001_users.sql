-- Users, their sessions and refresh tokens.

CREATE TABLE users (
    id uuid PRIMARY KEY,
    email bytea NOT NULL,                -- through the codec of shared/crypto.py
    email_index bytea NOT NULL UNIQUE,   -- keyed hash of the normalised address
    username text NOT NULL,
    password_hash text NOT NULL,
    full_name text NOT NULL DEFAULT '',
    preferences jsonb NOT NULL DEFAULT '{}',
    roles text[] NOT NULL DEFAULT '{user}',
    tier text NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    last_login_at timestamptz
);
CREATE UNIQUE INDEX users_username ON users (lower(username));
CREATE INDEX users_created ON users (created_at, id);

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    token_hash bytea NOT NULL,           -- SHA-256 of the newest refresh token
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    address text NOT NULL DEFAULT '',
    user_agent text NOT NULL DEFAULT ''
);
CREATE INDEX sessions_user ON sessions (user_id) WHERE revoked_at IS NULL;

CREATE VIEW live_sessions AS
    SELECT s.id, s.user_id, s.expires_at, u.roles FROM sessions s JOIN users u ON u.id = s.user_id
    WHERE s.revoked_at IS NULL AND s.expires_at > now() AND u.is_active;

CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY,        -- SHA-256
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    issued_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz,
    used_by bytea                        -- SHA-256 of the client that used it: its retry gets the same successor
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);

CREATE TABLE idempotency_keys (
    user_id uuid NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status smallint,                     -- NULL while the first request runs
    answer bytea,                        -- through the codec
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
