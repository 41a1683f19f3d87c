-- Domain events (an outbox that readers tail by seq), their consumers, what they refused, and the audit trail.

CREATE SEQUENCE event_seq;

CREATE TABLE events (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq bigint UNIQUE,                   -- given by the keeper once no earlier transaction can still commit
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    type text NOT NULL,
    source text NOT NULL,
    subject text NOT NULL,
    user_id uuid,
    agent text,
    sequence integer,
    data jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
CREATE INDEX events_unnumbered ON events (xid, position) WHERE seq IS NULL;
CREATE INDEX events_subject ON events (subject);
CREATE INDEX events_user ON events (user_id, seq);

CREATE TABLE consumers (
    name text PRIMARY KEY,
    seq bigint NOT NULL,                 -- everything up to here is done
    attempts smallint NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE turns (                     -- of functions that run every so often, by deployed name
    name text PRIMARY KEY,
    due_at timestamptz NOT NULL
);

CREATE TABLE inbox (
    consumer text NOT NULL,
    source text NOT NULL,
    id text NOT NULL,
    digest bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, source, id)
);

CREATE TABLE dead_letters (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    reason text NOT NULL,
    consumer text NOT NULL,
    event jsonb NOT NULL,
    attempts smallint NOT NULL,
    error text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (consumer, reason, event)
);

CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,                 -- a pseudonym, so that erasing a user leaves the trail whole
    action text NOT NULL,
    object text NOT NULL,
    outcome text NOT NULL,
    seal bigint
);
CREATE INDEX audit_unsealed ON audit_log (xid, id) WHERE seal IS NULL;
CREATE INDEX audit_sealed ON audit_log (seal, id);

CREATE TABLE audit_seals (
    id bigint PRIMARY KEY,
    lines integer NOT NULL,
    digest bytea NOT NULL,               -- SHA-256 over the digest before and the lines, in order
    signature bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER sealed_once BEFORE UPDATE ON audit_log FOR EACH ROW
    WHEN (OLD.seal IS NOT NULL OR (OLD.id, OLD.at, OLD.actor, OLD.action, OLD.object, OLD.outcome)
          IS DISTINCT FROM (NEW.id, NEW.at, NEW.actor, NEW.action, NEW.object, NEW.outcome))
    EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
