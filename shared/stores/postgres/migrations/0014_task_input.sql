-- Tasks that ask their client: queued without a rank, held by no worker, until all is answered.

ALTER TABLE agent_executions ADD COLUMN askable text[];                       -- what its client can be asked
ALTER TABLE agent_executions ADD COLUMN asked boolean NOT NULL DEFAULT false; -- it has rows below
ALTER TABLE agent_executions ADD COLUMN dialogue bytea;                       -- through the codec; state and answers

CREATE TABLE task_questions (
    user_id uuid NOT NULL,
    execution_id uuid NOT NULL,
    key text NOT NULL,
    place smallint NOT NULL,             -- among those asked together
    request bytea NOT NULL,              -- through the codec
    answer bytea,                        -- through the codec
    asked_at timestamptz NOT NULL DEFAULT now(),
    answered_at timestamptz,
    PRIMARY KEY (user_id, execution_id, key),
    CHECK ((answer IS NULL) = (answered_at IS NULL))
);
