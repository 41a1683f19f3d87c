-- Dead letters of any size, each kept once, listed newest first.

-- convert_to counts as stable for encodings that a database might change; this one is always UTF-8.
CREATE FUNCTION digest_of(document jsonb) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT sha256(convert_to(document::text, 'UTF8')) $$;

ALTER TABLE dead_letters ADD COLUMN agent text GENERATED ALWAYS AS (event ->> 'agent') STORED;
ALTER TABLE dead_letters DROP CONSTRAINT dead_letters_consumer_reason_event_key;
CREATE UNIQUE INDEX dead_letters_once ON dead_letters (consumer, reason, digest_of(event));
CREATE INDEX dead_letters_newest ON dead_letters (at, id);
CREATE INDEX dead_letters_of_reason ON dead_letters (reason, at, id);
CREATE INDEX dead_letters_of_agent ON dead_letters (agent, at, id);
