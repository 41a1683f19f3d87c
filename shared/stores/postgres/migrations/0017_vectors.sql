-- Vectors: the record that FAISS, Qdrant and Chroma are projections of.

CREATE TABLE vector_collections (        -- its row is locked by each write, so that numbers rise in order of commit
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name text NOT NULL,
    dimension integer NOT NULL CHECK (dimension BETWEEN 1 AND 4096),
    metric text NOT NULL CHECK (metric IN ('cosine', 'dot', 'l2')),
    model_id text,                       -- of the embedder; null where the owner brings vectors
    backends text[] NOT NULL,
    seq bigint NOT NULL DEFAULT 0,       -- of the newest change
    trimmed_seq bigint NOT NULL DEFAULT 0,  -- of the newest deletion that was forgotten
    last_number bigint NOT NULL DEFAULT -1,
    vectors bigint NOT NULL DEFAULT 0 CHECK (vectors >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, name)
);

CREATE TABLE vector_aliases (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    alias text NOT NULL,
    collection_name text NOT NULL,
    PRIMARY KEY (user_id, alias),
    FOREIGN KEY (user_id, collection_name) REFERENCES vector_collections (user_id, name) ON DELETE CASCADE
);

CREATE TABLE vectors (
    user_id uuid NOT NULL,
    collection_name text NOT NULL,
    vector_id text NOT NULL,
    number bigint NOT NULL,              -- what engines call it
    seq bigint NOT NULL,
    embedding bytea,                     -- 32-bit floats, little-endian; null once it is deleted
    metadata jsonb NOT NULL DEFAULT '{}',
    text text,
    content_hash bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    UNIQUE (user_id, collection_name, vector_id),
    UNIQUE (user_id, collection_name, number),
    FOREIGN KEY (user_id, collection_name) REFERENCES vector_collections (user_id, name) ON DELETE CASCADE
);
CREATE UNIQUE INDEX vectors_seq ON vectors (user_id, collection_name, seq);
CREATE INDEX vectors_deleted ON vectors (deleted_at) WHERE deleted_at IS NOT NULL;
-- Embeddings are numbers at random: looking for what could be shorter is lost time.
ALTER TABLE vectors ALTER COLUMN embedding SET STORAGE EXTERNAL;

CREATE TABLE vector_backend_state (
    collection_id uuid NOT NULL REFERENCES vector_collections ON DELETE CASCADE,
    backend text NOT NULL,
    epoch integer NOT NULL DEFAULT 0,
    applied_seq bigint NOT NULL DEFAULT 0,
    error text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (collection_id, backend)
);
