"""The statements by which a task waits for its client's answers and goes on."""

from events.tasks import TaskRequeued
from shared.stores.postgres.queue_sql import CHANGED, WITH_REASON, event

# The attempt is given back: it neither failed nor ended.
# $1 user, $2 id, $3 fence, $4 what the action keeps and was answered, $5 keys, $6 requests, $7 why it waits
PARK = f"""
WITH e AS (
    UPDATE agent_executions e
    SET status = 'queued', rank = NULL, due_at = NULL, worker_id = NULL, attempt = e.attempt - 1, error = $7,
        version = e.version + 1, asked = true, dialogue = $4
    WHERE e.user_id = $1 AND e.id = $2 AND e.status = 'running' AND e.fence = $3
    RETURNING {CHANGED}
), noted AS ({event(f"'{TaskRequeued.type}'", "e", source="finish", data=WITH_REASON)}
), questions AS (
    INSERT INTO task_questions (user_id, execution_id, key, place, request)
    SELECT e.user_id, e.id, q.key, q.place, q.request
    FROM e, unnest($5::text[], $6::bytea[]) WITH ORDINALITY AS q (key, request, place)
)
SELECT id, pg_notify('sutazai_ended', id::text) FROM e
"""

# $1 user, $2 id
ANSWERS = """
SELECT key, answer FROM task_questions WHERE user_id = $1 AND execution_id = $2 AND answer IS NOT NULL
"""

# $1 user, $2 id
OPEN_QUESTIONS = """
SELECT q.key, q.request FROM task_questions q
JOIN agent_executions e ON e.user_id = q.user_id AND e.id = q.execution_id
WHERE q.user_id = $1 AND q.execution_id = $2 AND q.answer IS NULL AND e.status = 'queued'
ORDER BY q.asked_at, q.place
"""

# Whoever answers holds the task meanwhile: two who answer its last two questions at once would each see one open.
LOCK = "SELECT status FROM agent_executions WHERE user_id = $1 AND id = $2 FOR UPDATE"

# $1 user, $2 id, $3 keys, $4 answers
ANSWER = """
UPDATE task_questions q SET answer = a.answer, answered_at = now()
FROM unnest($3::text[], $4::bytea[]) AS a (key, answer)
WHERE q.user_id = $1 AND q.execution_id = $2 AND q.key = a.key AND q.answer IS NULL
RETURNING q.key
"""

# $1 user, $2 id
GO_ON = """
UPDATE agent_executions e SET rank = now() - e.priority * interval '5 minutes'
WHERE e.user_id = $1 AND e.id = $2 AND NOT EXISTS (
    SELECT FROM task_questions q WHERE q.user_id = $1 AND q.execution_id = $2 AND q.answer IS NULL
)
RETURNING e.agent_type, e.priority
"""
