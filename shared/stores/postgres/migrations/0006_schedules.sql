-- Tasks that come again.

CREATE TABLE schedules (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name text NOT NULL,
    cron text,
    every_s integer CHECK (every_s >= 1),
    timezone text NOT NULL,              -- of the cron expression, by IANA's name
    agent_type text NOT NULL,
    task_id text NOT NULL,               -- the tool's name
    parameters bytea NOT NULL,           -- through the codec
    priority smallint NOT NULL CHECK (priority BETWEEN 0 AND 9),
    timeout_ms integer NOT NULL,
    catch_up text NOT NULL CHECK (catch_up IN ('skip', 'once', 'all')),
    next_run_at timestamptz,             -- NULL while it is paused
    not_before timestamptz,              -- nobody looks at it before: someone has it, or it was refused
    refusals integer NOT NULL DEFAULT 0, -- in a row
    last_run_at timestamptz,
    last_task_id uuid,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((cron IS NULL) <> (every_s IS NULL)),
    CHECK ((last_run_at IS NULL) = (last_task_id IS NULL))
);
CREATE INDEX schedules_due ON schedules (next_run_at) WHERE next_run_at IS NOT NULL;
CREATE INDEX schedules_owner ON schedules (user_id, created_at DESC, id DESC);
CREATE INDEX schedules_created ON schedules (created_at DESC, id DESC);
