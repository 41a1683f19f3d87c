-- The texts that the agent memory-bank keeps for its users: files in projects, but rows.

CREATE TABLE bank_accounts (             -- its row is locked by each change, so a user's changes follow one another
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    blind_key bytea NOT NULL,            -- through the codec; the hashes below are keyed by it
    files integer NOT NULL DEFAULT 0 CHECK (files >= 0),
    size_bytes bigint NOT NULL DEFAULT 0 CHECK (size_bytes >= 0)
);

CREATE TABLE bank_files (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES bank_accounts ON DELETE CASCADE,
    project_index bytea NOT NULL,        -- keyed hash of the project's name
    project bytea NOT NULL,              -- through the codec
    name_index bytea NOT NULL,           -- keyed hash of the file's name
    name bytea NOT NULL,                 -- through the codec
    content bytea NOT NULL,              -- through the codec
    size_bytes integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, project_index, name_index)
);

CREATE TABLE bank_acts (                 -- what has changed something, so that a task which runs again does not
    user_id uuid NOT NULL REFERENCES bank_accounts ON DELETE CASCADE,
    execution_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, execution_id)
);
CREATE INDEX bank_acts_age ON bank_acts (user_id, at);
