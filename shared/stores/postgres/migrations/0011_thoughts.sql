-- What users' agents think step by step. Texts lie sealed; handles and names of branches are known by hashes under a key
-- of the user's own, which lies sealed too.

CREATE TABLE thinkers (                  -- locked by whoever adds a thought of this user's: they take turns
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    blind_key bytea NOT NULL             -- through the codec
);

CREATE TABLE thought_sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES thinkers ON DELETE CASCADE,
    handle_key bytea NOT NULL,
    thoughts integer NOT NULL DEFAULT 0,
    branches integer NOT NULL DEFAULT 0,
    size_bytes bigint NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL,     -- moved with every thought
    UNIQUE (user_id, handle_key)
);

CREATE TABLE thought_branches (
    session_id uuid NOT NULL REFERENCES thought_sessions ON DELETE CASCADE,
    branch_key bytea NOT NULL,
    position integer NOT NULL,           -- of its first thought
    body bytea NOT NULL,                 -- through the codec: its name
    PRIMARY KEY (session_id, branch_key)
);

CREATE TABLE thoughts (
    session_id uuid NOT NULL REFERENCES thought_sessions ON DELETE CASCADE,
    position integer NOT NULL,           -- from 1, without gaps
    user_id uuid NOT NULL,
    execution_id uuid NOT NULL,
    branch_key bytea,
    body bytea NOT NULL,                 -- through the codec
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, position),
    UNIQUE (user_id, execution_id)       -- an execution that runs again adds nothing
);
