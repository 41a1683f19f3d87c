-- Executions of agents' actions, the workers that run them, and the events they cause.

CREATE TABLE workers (
    id uuid PRIMARY KEY,
    slot text UNIQUE,                    -- a place that holds one worker at a time: its next boot ends the last one
    agents text[] NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    alive_until timestamptz NOT NULL,
    cold_start_ms real
);
CREATE INDEX workers_alive ON workers (alive_until);

CREATE TABLE agent_executions (
    user_id uuid NOT NULL,
    id uuid NOT NULL,
    agent_type text NOT NULL,
    task_id text NOT NULL,               -- the tool's name
    input_data bytea NOT NULL,           -- through the codec
    output_data bytea,                   -- through the codec
    error jsonb,
    status text NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired')),
    attached boolean NOT NULL DEFAULT false,
    priority smallint NOT NULL CHECK (priority BETWEEN 0 AND 9),
    rank timestamptz,                    -- what is claimed first; NULL in back-off
    due_at timestamptz,                  -- the end of a back-off
    timeout_ms integer NOT NULL,
    expires_at timestamptz NOT NULL,     -- nothing starts after it
    attempt smallint NOT NULL DEFAULT 0,
    max_attempts smallint NOT NULL DEFAULT 3,
    losses smallint NOT NULL DEFAULT 0,  -- workers that died under it
    fence bigint NOT NULL DEFAULT 0,     -- rises with every claim; an old fence writes nothing
    version integer NOT NULL DEFAULT 1,  -- of the state: the `sequence` of its events
    worker_id uuid,
    retry_of uuid,
    idempotency_key text,
    request_hash bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (user_id, id),
    CHECK (attempt BETWEEN 0 AND max_attempts),
    CHECK (started_at IS NULL OR started_at >= created_at),
    CHECK ((finished_at IS NOT NULL) = (status IN ('succeeded', 'failed', 'cancelled', 'expired'))),
    CHECK (status <> 'running' OR worker_id IS NOT NULL)
) PARTITION BY HASH (user_id);

CREATE TABLE agent_executions_0 PARTITION OF agent_executions FOR VALUES WITH (MODULUS 4, REMAINDER 0);
CREATE TABLE agent_executions_1 PARTITION OF agent_executions FOR VALUES WITH (MODULUS 4, REMAINDER 1);
CREATE TABLE agent_executions_2 PARTITION OF agent_executions FOR VALUES WITH (MODULUS 4, REMAINDER 2);
CREATE TABLE agent_executions_3 PARTITION OF agent_executions FOR VALUES WITH (MODULUS 4, REMAINDER 3);

CREATE UNIQUE INDEX executions_key ON agent_executions (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX executions_claimable ON agent_executions (agent_type, rank) WHERE status = 'queued' AND rank IS NOT NULL;
CREATE INDEX executions_due ON agent_executions (due_at) WHERE status = 'queued' AND rank IS NULL;
CREATE INDEX executions_expiring ON agent_executions (expires_at) WHERE status = 'queued';
CREATE INDEX executions_owner_queue ON agent_executions (user_id) WHERE status = 'queued';
CREATE INDEX executions_held ON agent_executions (worker_id) WHERE status = 'running';
CREATE INDEX executions_history ON agent_executions (user_id, created_at DESC, id DESC);
CREATE INDEX executions_recent ON agent_executions (agent_type, finished_at) WHERE finished_at IS NOT NULL;

CREATE FUNCTION guard_execution() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status IN ('succeeded', 'failed', 'cancelled', 'expired') THEN
        RAISE EXCEPTION 'execution % is % and stays so', OLD.id, OLD.status USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.fence < OLD.fence OR NEW.version <= OLD.version AND NEW.status <> OLD.status THEN
        RAISE EXCEPTION 'the fence and version of execution % only rise', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.status = 'queued' AND NEW.status NOT IN ('queued', 'running', 'cancelled', 'expired') THEN
        RAISE EXCEPTION 'execution % cannot go from queued to %', OLD.id, NEW.status USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON agent_executions FOR EACH ROW EXECUTE FUNCTION guard_execution();

CREATE TABLE task_progress (
    user_id uuid NOT NULL,
    execution_id uuid NOT NULL,
    percent real NOT NULL CHECK (percent BETWEEN 0 AND 100),
    message text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, execution_id)
) WITH (fillfactor = 50);

CREATE TABLE queue_depths (              -- written by the keeper, once a second
    agent_type text NOT NULL,
    owner uuid,                          -- NULL: of all users together
    queued integer NOT NULL,
    UNIQUE NULLS NOT DISTINCT (agent_type, owner)
);

CREATE TABLE ledger (                    -- the effects of the ledger tool: at most one per execution and step
    execution_id uuid NOT NULL,
    step text NOT NULL,
    user_id uuid NOT NULL,
    attempt smallint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (execution_id, step)
);
CREATE INDEX ledger_user ON ledger (user_id);
