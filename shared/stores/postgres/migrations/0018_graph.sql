-- The knowledge graph: what each thing adds to it, and the copy of it all that answers on one machine.

CREATE TABLE graph_state (               -- one row, locked by each write, so that numbers rise in order of commit
    seq bigint NOT NULL,                 -- of the newest change
    events_seq bigint NOT NULL           -- everything that happened up to here is in it
);
INSERT INTO graph_state VALUES (0, 0);
CREATE UNIQUE INDEX graph_state_one ON graph_state ((true));

CREATE TABLE graph_stars (
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    subject text NOT NULL,
    id text NOT NULL,
    version integer NOT NULL,
    seq bigint NOT NULL,
    star bytea NOT NULL,                 -- through the codec of shared/crypto.py
    elements integer NOT NULL,
    marks bigint NOT NULL,               -- the sum over its elements
    PRIMARY KEY (user_id, subject, id)
);
CREATE UNIQUE INDEX graph_stars_seq ON graph_stars (seq);

CREATE TABLE graph_erasures (            -- of users who are gone, so nothing here leads to one
    user_id uuid PRIMARY KEY,
    seq bigint NOT NULL
);
CREATE INDEX graph_erasures_seq ON graph_erasures (seq);

CREATE TABLE graph_outputs (             -- what tasks have put out, as keyed hashes
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    digest bytea NOT NULL,
    task_id uuid NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (user_id, digest, at, task_id)
);
CREATE INDEX graph_outputs_at ON graph_outputs (at);

CREATE TABLE graph_generations (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- never given twice: one who is late must find none
    applied_seq bigint NOT NULL DEFAULT 0,
    live boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX graph_generations_live ON graph_generations (live) WHERE live;

CREATE TABLE graph_nodes (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    generation integer NOT NULL,
    id text NOT NULL,
    kind text NOT NULL,
    star bigint,                         -- its number; null: others name it, and nothing more is known
    mark bigint,
    properties bytea,                    -- through the codec
    PRIMARY KEY (user_id, generation, id)
);
CREATE INDEX graph_nodes_star ON graph_nodes (generation, star);

CREATE TABLE graph_edges (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    generation integer NOT NULL,
    source text NOT NULL,
    type text NOT NULL,
    target text NOT NULL,
    score real,
    star bigint NOT NULL,
    mark bigint NOT NULL,
    PRIMARY KEY (user_id, generation, source, type, target)
);
CREATE INDEX graph_edges_target ON graph_edges (user_id, generation, target, type, source);
CREATE INDEX graph_edges_star ON graph_edges (generation, star);
