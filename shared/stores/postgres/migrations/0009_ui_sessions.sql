-- What a browser holds of a session: once a code that is good for half a minute, then the handle in its cookie.

CREATE TABLE ui_sessions (
    session_id uuid PRIMARY KEY REFERENCES sessions ON DELETE CASCADE,
    code_hash bytea UNIQUE,              -- SHA-256; NULL once it was used
    code_expires_at timestamptz,
    handle_hash bytea UNIQUE             -- SHA-256
);
