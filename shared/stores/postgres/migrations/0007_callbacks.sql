-- Who asked to be called once a task has ended.

CREATE TABLE callbacks (
    user_id uuid NOT NULL,
    execution_id uuid NOT NULL,
    url bytea NOT NULL,                  -- through the codec
    peer bytea NOT NULL,                 -- keyed hash of the URL's host and port: what one slow receiver holds up
    due_at timestamptz,                  -- of the next attempt; NULL until the task has ended, and once it is given up
    attempts smallint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, execution_id)
);
CREATE INDEX callbacks_due ON callbacks (peer, due_at) WHERE due_at IS NOT NULL;

-- Whether a task has one: of most that end, nobody has to look.
ALTER TABLE agent_executions ADD COLUMN calls_back boolean NOT NULL DEFAULT false;
