-- What the agent extended-memory remembers for its users.

CREATE TABLE context_accounts (          -- its row is locked by each change, so a user's changes follow one another
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    blind_key bytea NOT NULL,            -- through the codec; the hashes below are keyed by it
    last_id bigint NOT NULL DEFAULT 0,   -- ids count from 1 for each user, and none comes twice
    contexts integer NOT NULL DEFAULT 0 CHECK (contexts >= 0),
    size_bytes bigint NOT NULL DEFAULT 0 CHECK (size_bytes >= 0)
);

CREATE TABLE contexts (
    user_id uuid NOT NULL REFERENCES context_accounts ON DELETE CASCADE,
    id bigint NOT NULL,
    project_index bytea NOT NULL,        -- keyed hash of the project's name
    project bytea NOT NULL,              -- through the codec
    importance smallint NOT NULL CHECK (importance BETWEEN 1 AND 10),
    tag_indexes bytea[] NOT NULL,        -- keyed hashes of the tags, in their order
    tags bytea NOT NULL,                 -- through the codec; by name
    content bytea NOT NULL,              -- through the codec
    size_bytes integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, id)
);
CREATE INDEX contexts_project ON contexts (user_id, project_index, importance DESC, id DESC);

CREATE TABLE context_acts (              -- what has changed something, so that a task which runs again does not
    user_id uuid NOT NULL REFERENCES context_accounts ON DELETE CASCADE,
    execution_id uuid NOT NULL,
    context_id bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, execution_id)
);
CREATE INDEX context_acts_age ON context_acts (user_id, at);
