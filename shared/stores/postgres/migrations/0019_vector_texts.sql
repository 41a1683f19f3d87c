-- Words of the texts that vectors are of, for BM25: what ts_rank has no document frequencies for.

ALTER TABLE vector_collections
    ADD COLUMN texts bigint NOT NULL DEFAULT 0 CHECK (texts >= 0),
    ADD COLUMN words bigint NOT NULL DEFAULT 0 CHECK (words >= 0);  -- in all of its texts together

CREATE TABLE vector_texts (
    collection_id uuid NOT NULL REFERENCES vector_collections ON DELETE CASCADE,
    number bigint NOT NULL,
    words integer[] NOT NULL,            -- each as often as it is there, as a number of its collection's own
    PRIMARY KEY (collection_id, number)
);
-- Looked into at once after writing: a list of what is pending would be read by every search.
CREATE INDEX vector_texts_words ON vector_texts USING gin (words) WITH (fastupdate = off);
-- What is found by its words is read whole: not from elsewhere.
ALTER TABLE vector_texts ALTER COLUMN words SET STORAGE MAIN;

CREATE TABLE vector_words (
    collection_id uuid NOT NULL REFERENCES vector_collections ON DELETE CASCADE,
    word integer NOT NULL,
    texts integer NOT NULL,              -- how many hold it
    PRIMARY KEY (collection_id, word)
) WITH (fillfactor = 80);
