-- Knowledge graphs of users. Texts lie sealed. They are found again by hashes under a key of the user's own, which lies
-- sealed too: names and whole texts by one, parts of texts by one for each three characters in a row. So a search needs
-- neither open texts nor an extension, and whoever cannot open the one cannot read the other.

CREATE TABLE memory_graphs (             -- locked by whoever writes to the graph: its writers take turns
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    blind_key bytea NOT NULL,            -- through the codec
    entities integer NOT NULL DEFAULT 0,
    observations integer NOT NULL DEFAULT 0,
    relations integer NOT NULL DEFAULT 0,
    size_bytes bigint NOT NULL DEFAULT 0, -- of all texts, as JSON
    CHECK (entities >= 0 AND observations >= 0 AND relations >= 0 AND size_bytes >= 0)
);

CREATE TABLE memory_entities (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES memory_graphs ON DELETE CASCADE,
    position bigint GENERATED ALWAYS AS IDENTITY,
    name_key bytea NOT NULL,
    body bytea NOT NULL,                 -- through the codec: name and type
    size_bytes integer NOT NULL,
    grams integer[] NOT NULL,
    UNIQUE (user_id, name_key)
);
CREATE INDEX memory_entities_grams ON memory_entities USING gin (grams);

CREATE TABLE memory_observations (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    entity_id uuid NOT NULL REFERENCES memory_entities ON DELETE CASCADE,
    position bigint GENERATED ALWAYS AS IDENTITY,
    content_key bytea NOT NULL,
    body bytea NOT NULL,                 -- through the codec
    size_bytes integer NOT NULL,
    grams integer[] NOT NULL,
    UNIQUE (entity_id, content_key)
);
CREATE INDEX memory_observations_user ON memory_observations (user_id);
CREATE INDEX memory_observations_grams ON memory_observations USING gin (grams);

CREATE TABLE memory_relations (          -- between names: an entity need not exist
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES memory_graphs ON DELETE CASCADE,
    position bigint GENERATED ALWAYS AS IDENTITY,
    from_key bytea NOT NULL,
    to_key bytea NOT NULL,
    type_key bytea NOT NULL,
    body bytea NOT NULL,                 -- through the codec: from, to and type
    size_bytes integer NOT NULL,
    UNIQUE (user_id, from_key, to_key, type_key)
);
CREATE INDEX memory_relations_to ON memory_relations (user_id, to_key);

CREATE TABLE memory_acts (               -- an execution that runs again does nothing and answers the same
    user_id uuid NOT NULL REFERENCES memory_graphs ON DELETE CASCADE,
    execution_id uuid NOT NULL,
    done jsonb NOT NULL,                 -- which of the things it was asked to write were new; no text
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, execution_id)
);
CREATE INDEX memory_acts_at ON memory_acts (user_id, at);
