-- Documents that users have given to be found, and objects that have to go.

CREATE TABLE documents (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    task_id uuid NOT NULL,               -- the execution that indexes it, the newest of several
    title bytea,                         -- through the codec, as file_name, metadata and error; null: it is in the text
    file_name bytea,
    metadata bytea NOT NULL,
    media_type text NOT NULL,
    size_bytes bigint NOT NULL,
    collection text NOT NULL,            -- as it was asked for: perhaps an alias, and perhaps not there yet
    collection_id uuid,                  -- where its chunks lie
    chunks integer NOT NULL DEFAULT 0,
    error bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    indexed_at timestamptz,
    deleted_at timestamptz               -- its row goes once nothing can write chunks of it any more
);
CREATE INDEX documents_user ON documents (user_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX documents_owned ON documents (user_id);
CREATE INDEX documents_deleted ON documents (deleted_at) WHERE deleted_at IS NOT NULL;

-- Whoever stores an object notes it here first, for later than it can take, and takes the note back with the row that
-- the object is of. So what a crash leaves behind goes too, and so does what an erased user has left.
CREATE TABLE object_removals (
    key text PRIMARY KEY,                -- one that ends in a slash stands for all below it
    due_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX object_removals_due ON object_removals (due_at);
