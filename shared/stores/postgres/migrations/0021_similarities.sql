-- What documents have to do with one another: found out of their chunks, and what the graph shows of it is made of it.

CREATE TABLE graph_documents (           -- those that are indexed
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    document_id uuid NOT NULL,
    collection text NOT NULL,            -- as it was asked for: perhaps an alias
    collection_id uuid,                  -- where its chunks were, of which the centroid is
    title bytea NOT NULL,                -- through the codec of shared/crypto.py
    chunks integer NOT NULL,
    centroid bytea,                      -- of its chunks: 32-bit floats, little-endian, of length 1
    due_at timestamptz,                  -- when its ties have to be looked for; null: they have been found
    PRIMARY KEY (user_id, document_id)
);
CREATE INDEX graph_documents_due ON graph_documents (due_at) WHERE due_at IS NOT NULL;
ALTER TABLE graph_documents ALTER COLUMN centroid SET STORAGE EXTERNAL;

CREATE TABLE document_similarities (     -- each pair once
    user_id uuid NOT NULL,
    document_id uuid NOT NULL,
    other_id uuid NOT NULL,
    score real NOT NULL,
    PRIMARY KEY (user_id, document_id, other_id),
    FOREIGN KEY (user_id, document_id) REFERENCES graph_documents ON DELETE CASCADE,
    FOREIGN KEY (user_id, other_id) REFERENCES graph_documents ON DELETE CASCADE,
    CHECK (document_id < other_id)
);
CREATE INDEX document_similarities_other ON document_similarities (user_id, other_id);

CREATE TABLE document_mentions (
    user_id uuid NOT NULL,
    document_id uuid NOT NULL,
    kind text NOT NULL,
    id text NOT NULL,
    position integer NOT NULL,           -- of the first chunk that mentions it
    PRIMARY KEY (user_id, document_id, kind, id),
    FOREIGN KEY (user_id, document_id) REFERENCES graph_documents ON DELETE CASCADE
);
CREATE INDEX document_mentions_of ON document_mentions (user_id, kind, id);
