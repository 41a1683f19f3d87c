-- What OAuth clients hold of a user: codes for a minute, then sessions; and users whom an outside issuer knows.

CREATE TABLE oauth_sessions (
    session_id uuid PRIMARY KEY REFERENCES sessions ON DELETE CASCADE,
    client_hash bytea NOT NULL,          -- SHA-256 of the client's id
    client_name bytea NOT NULL,          -- through the codec
    scopes text[] NOT NULL,
    resource text NOT NULL,              -- a URL of our own: the only place that its tokens are good for
    issuer text NOT NULL
);

CREATE TABLE oauth_codes (
    code_hash bytea PRIMARY KEY,         -- SHA-256
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    session_id uuid REFERENCES sessions ON DELETE CASCADE,   -- what came of it
    client_hash bytea NOT NULL,
    client_name bytea NOT NULL,          -- through the codec
    redirect_hash bytea NOT NULL,
    challenge bytea NOT NULL,            -- SHA-256 of the verifier, as the client has sent it
    scopes text[] NOT NULL,
    resource text NOT NULL,
    issuer text NOT NULL,
    refreshes boolean NOT NULL,          -- whether the client gets refresh tokens
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX oauth_codes_user ON oauth_codes (user_id);
CREATE INDEX oauth_codes_session ON oauth_codes (session_id);

CREATE TABLE oauth_identities (
    id uuid PRIMARY KEY,
    issuer text NOT NULL,
    subject_index bytea NOT NULL,        -- keyed hash
    subject bytea NOT NULL,              -- through the codec
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (issuer, subject_index)
);
CREATE INDEX oauth_identities_user ON oauth_identities (user_id);
