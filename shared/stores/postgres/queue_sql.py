"""The statements that move a task from state to state; each is one transaction with the event it causes."""

from events.tasks import TaskCancelled, TaskExpired, TaskFailed, TaskRequeued, TaskStarted, TaskSubmitted, TaskSucceeded
from shared.stores.postgres.letters_sql import NOTED, TASK_LETTERS
from shared.task_states import FAIRNESS_DEPTH, FAIRNESS_STEP_MS, MOST_LOSSES, PRIORITY_STEP_S

# What every event of a task says; `e` is the changed row.
_DATA = "jsonb_build_object('task_id', e.id, 'agent', e.agent_type, 'tool', e.task_id)"


def event(type_sql: str, rows: str, *, source: str, data: str = _DATA) -> str:
    return (
        "INSERT INTO events (type, source, subject, user_id, agent, sequence, data)"
        f" SELECT {type_sql}, '/functions/{source}', e.id::text, e.user_id, e.agent_type, e.version, {data}"
        f" FROM {rows} e"
    )


_TYPE_OF_STATUS = (
    f"CASE e.status WHEN 'succeeded' THEN '{TaskSucceeded.type}' WHEN 'failed' THEN '{TaskFailed.type}'"
    f" WHEN 'cancelled' THEN '{TaskCancelled.type}' WHEN 'expired' THEN '{TaskExpired.type}'"
    f" ELSE '{TaskRequeued.type}' END"
)
WITH_REASON = (
    f"{_DATA} || CASE WHEN e.status IN ('queued', 'failed') THEN"
    " jsonb_build_object('reason', coalesce(e.error ->> 'code', 'WORKER_LOST')) ELSE '{}' END"
)
_WITH_ATTEMPT = f"{_DATA} || jsonb_build_object('attempt', e.attempt)"
_AUDIT = (
    "INSERT INTO audit_log (actor, action, object, outcome)"
    " SELECT 'user:' || e.user_id, 'task.' || e.status, e.agent_type || '/' || e.task_id || '/' || e.id, 'done'"
    " FROM {rows} e WHERE e.status NOT IN ('queued', 'running')"
)
# Whoever asked to be told of the end.
_CALL_BACK = (
    "UPDATE callbacks c SET due_at = now() FROM e"
    " WHERE e.calls_back AND e.status NOT IN ('queued', 'running')"
    " AND c.user_id = e.user_id AND c.execution_id = e.id"
)
_PRIORITY_STEP = f"interval '{PRIORITY_STEP_S} seconds'"
# now() is when a transaction began, which may be before the one whose row it had to wait for.
_ENDED_AT = "greatest(now(), e.created_at, e.started_at)"
CHANGED = """e.user_id, e.id, e.agent_type, e.task_id, e.status, e.version, e.error, e.attached, e.attempt,
    e.max_attempts, e.losses, e.calls_back"""

# Own tasks that already wait make a new one wait longer: fairness between users, and it needs no look at others.
# Keys are written in one order: two batches that repeat them in different ones would block each other.
# `depth` is told to be computed first: a plan may otherwise count a user's queue once for each row of a batch.
# $1.. arrays: ids, users, agents, tools, inputs, priorities, timeouts, ttls, attempts, retry_of, keys, digests,
# URLs and peers of callbacks, what clients can be asked and what they have answered already
ACCEPT = f"""
WITH given AS (
    SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY n) AS nth FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::smallint[], $7::int[], $8::float8[],
        $9::smallint[], $10::uuid[], $11::text[], $12::bytea[], $13::bytea[], $14::bytea[], $15::text[],
        $16::bytea[]
    ) WITH ORDINALITY AS t (id, user_id, agent, tool, input, priority, timeout_ms, ttl_s, attempts, retry_of, key,
        digest, url, peer, askable, dialogue, n)
), depth AS MATERIALIZED (
    SELECT u.user_id, (
        SELECT count(*) FROM (
            SELECT 1 FROM agent_executions q WHERE q.user_id = u.user_id AND q.status = 'queued' LIMIT {FAIRNESS_DEPTH}
        ) own
    ) AS queued FROM (SELECT DISTINCT user_id FROM given) u
), e AS (
    INSERT INTO agent_executions (id, user_id, agent_type, task_id, input_data, status, priority, rank, timeout_ms,
        expires_at, max_attempts, retry_of, idempotency_key, request_hash, calls_back, askable,
        dialogue)
    SELECT g.id, g.user_id, g.agent, g.tool, g.input, 'queued', g.priority,
        now() - g.priority * {_PRIORITY_STEP}
            + least(d.queued + g.nth - 1, {FAIRNESS_DEPTH}) * interval '{FAIRNESS_STEP_MS} milliseconds',
        g.timeout_ms, now() + make_interval(secs => g.ttl_s), g.attempts, g.retry_of, g.key, g.digest,
        g.url IS NOT NULL, string_to_array(g.askable, ' '), g.dialogue
    FROM given g JOIN depth d USING (user_id) ORDER BY g.user_id, g.key, g.n
    ON CONFLICT (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id, user_id, agent_type, task_id, version, calls_back
), noted AS ({event(f"'{TaskSubmitted.type}'", "e", source="execute")}
), asked AS (
    INSERT INTO callbacks (user_id, execution_id, url, peer)
    SELECT g.user_id, g.id, g.url, g.peer FROM given g JOIN e USING (user_id, id) WHERE e.calls_back
)
SELECT id FROM e
"""

OF_KEYS = """
SELECT user_id, idempotency_key, id, request_hash FROM agent_executions
WHERE (user_id, idempotency_key) IN (SELECT * FROM unnest($1::uuid[], $2::text[]))
"""

_CLAIMED = """e.user_id, e.id, e.agent_type, e.task_id, e.input_data, e.timeout_ms, e.attempt, e.max_attempts,
    e.losses, e.fence, e.askable, e.asked, e.dialogue"""

# $1 worker, $2 agent, $3 tools, $4 limit, $5 whether also what workers died under. One declared dead claims nothing.
CLAIM = f"""
WITH picked AS MATERIALIZED (
    SELECT user_id, id FROM agent_executions
    WHERE agent_type = $2 AND status = 'queued' AND rank IS NOT NULL AND task_id = ANY($3) AND expires_at > now()
      AND ($5 OR losses = 0)
      AND EXISTS (SELECT FROM workers WHERE workers.id = $1)
    ORDER BY rank LIMIT $4 FOR UPDATE SKIP LOCKED
), e AS (
    UPDATE agent_executions e
    SET status = 'running', worker_id = $1, fence = e.fence + 1, attempt = e.attempt + 1, version = e.version + 1,
        started_at = greatest(now(), e.created_at), due_at = NULL
    FROM picked p WHERE e.user_id = p.user_id AND e.id = p.id
    RETURNING {_CLAIMED}, e.rank, e.version
), noted AS ({event(f"'{TaskStarted.type}'", "e", source="claim", data=_WITH_ATTEMPT)})
SELECT {_CLAIMED} FROM e ORDER BY e.rank
"""

# Whatever a worker asks for: an attempt more than there may be would refuse the claim of a whole batch.
_AGAIN = "(g.retry_in_s IS NOT NULL AND e.attempt < e.max_attempts)"
# $1.. arrays: users, ids, fences, statuses, outputs, errors, seconds until the next attempt (NULL: none)
FINISH = f"""
WITH given AS (
    SELECT DISTINCT ON (user_id, id, fence) * FROM unnest(
        $1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::bytea[], $6::jsonb[], $7::float8[]
    ) WITH ORDINALITY AS t (user_id, id, fence, status, output, error, retry_in_s, n)
    ORDER BY user_id, id, fence, n
), e AS (
    UPDATE agent_executions e
    SET status = CASE WHEN {_AGAIN} THEN 'queued' ELSE g.status END, output_data = g.output, error = g.error,
        version = e.version + 1, finished_at = CASE WHEN NOT {_AGAIN} THEN {_ENDED_AT} END, rank = NULL,
        due_at = CASE WHEN {_AGAIN} THEN now() + make_interval(secs => g.retry_in_s) END,
        worker_id = CASE WHEN NOT {_AGAIN} THEN e.worker_id END
    FROM given g
    WHERE e.user_id = g.user_id AND e.id = g.id AND e.status = 'running' AND e.fence = g.fence
    RETURNING {CHANGED}, e.fence
), noted AS ({event(_TYPE_OF_STATUS, "e", source="finish", data=WITH_REASON)} RETURNING {NOTED}
), audited AS ({_AUDIT.format(rows="e")}
), called AS ({_CALL_BACK}
), {TASK_LETTERS}
SELECT id, fence, pg_notify('sutazai_ended', e.id::text) FROM e
"""

# $1 users, $2 ids, $3 worker
ATTACH = f"""
WITH e AS (
    INSERT INTO agent_executions AS e (id, user_id, agent_type, task_id, input_data, status, attached, priority,
        timeout_ms, expires_at, attempt, max_attempts, fence, worker_id, started_at)
    SELECT $1, $2, $3, $4, $5, 'running', true, $6, $7, now() + make_interval(secs => $8), 1, 1, 1, workers.id, now()
    FROM workers WHERE workers.id = $9
    RETURNING {_CLAIMED}, e.version
), noted AS ({event(f"'{TaskStarted.type}'", "e", source="attach", data=_WITH_ATTEMPT)})
SELECT {_CLAIMED} FROM e
"""

# $1: a document with all rows, since an array for each column costs the driver more; $2, $3: their inputs and outputs
RECORD = f"""
WITH e AS (
    INSERT INTO agent_executions (id, user_id, agent_type, task_id, input_data, output_data, error, status, attached,
        priority, timeout_ms, expires_at, attempt, max_attempts, created_at, started_at, finished_at)
    SELECT id, user_id, agent, tool, input, output, error, status, true, 4, 30000, now(), 1, 1,
        now() - make_interval(secs => seconds), now() - make_interval(secs => seconds), now()
    FROM ROWS FROM (
        jsonb_to_recordset($1::jsonb)
            AS (id uuid, user_id uuid, agent text, tool text, status text, error jsonb, seconds float8),
        unnest($2::bytea[]), unnest($3::bytea[])
    ) AS t (id, user_id, agent, tool, status, error, seconds, input, output)
    RETURNING id, user_id, agent_type, task_id, status, version, error
), noted AS ({event(_TYPE_OF_STATUS, "e", source="record", data=WITH_REASON)})
{_AUDIT.format(rows="e")}
"""

CANCEL = f"""
WITH e AS (
    UPDATE agent_executions e
    SET status = 'cancelled', finished_at = {_ENDED_AT}, rank = NULL, due_at = NULL, version = e.version + 1
    WHERE user_id = $1 AND ($2::uuid IS NULL OR id = $2) AND status IN ('queued', 'running')
    RETURNING {CHANGED}
), noted AS ({event(_TYPE_OF_STATUS, "e", source="cancel")}
), audited AS ({_AUDIT.format(rows="e")}
), called AS ({_CALL_BACK})
SELECT id FROM e
"""


def _take_back(gone: str, only: str = "", *, losses: int = 1) -> str:
    """What lost workers held runs again at its old rank, alone, and the attempt is given back.

    `gone` selects their ids; with `only`, not everything they held. So many losses end a task.
    """
    return f"""
WITH gone AS ({gone}), lost AS (
    SELECT e.user_id, e.id, CASE
        WHEN e.attached OR e.losses + {losses} >= {MOST_LOSSES} THEN 'failed'
        WHEN e.expires_at <= now() THEN 'expired' ELSE 'queued' END AS status
    FROM agent_executions e JOIN gone ON e.worker_id = gone.id WHERE e.status = 'running' {only} FOR UPDATE OF e
), e AS (
    UPDATE agent_executions e
    SET status = lost.status, version = e.version + 1, losses = e.losses + {losses}, worker_id = NULL,
        attempt = CASE WHEN lost.status = 'queued' THEN e.attempt - 1 ELSE e.attempt END,
        finished_at = CASE WHEN lost.status <> 'queued' THEN {_ENDED_AT} END,
        error = CASE lost.status WHEN 'failed' THEN jsonb_build_object('code',
            CASE WHEN e.attached THEN 'CALLER_LOST' ELSE 'WORKER_LOST' END, 'message',
            CASE WHEN e.attached THEN 'caller lost' ELSE 'its workers died {MOST_LOSSES} times' END,
            'retryable', true) END
    FROM lost WHERE e.user_id = lost.user_id AND e.id = lost.id
    RETURNING {CHANGED}
), noted AS ({event(_TYPE_OF_STATUS, "e", source="reap", data=WITH_REASON)} RETURNING {NOTED}
), audited AS ({_AUDIT.format(rows="e")}
), called AS ({_CALL_BACK}
), {TASK_LETTERS}
SELECT DISTINCT agent_type FROM e
"""


# $1: when they were silent already; NULL: now.
REAP = _take_back("DELETE FROM workers WHERE alive_until < coalesce($1, now()) RETURNING id")
# Claims that slipped in while their worker was being declared dead.
REAP_ORPHANS = _take_back(
    "SELECT DISTINCT worker_id AS id FROM agent_executions r WHERE status = 'running'"
    " AND NOT EXISTS (SELECT FROM workers w WHERE w.id = r.worker_id)"
)
# A worker that leaves in good order had no trouble with what it could not end in time.
LEAVE = _take_back("DELETE FROM workers WHERE id = $1 RETURNING id", losses=0)
BURY_SLOT = _take_back("DELETE FROM workers WHERE slot = $1 RETURNING id")
BURY_PLACE = _take_back("DELETE FROM workers WHERE starts_with(slot, $1) RETURNING id")
# $1 worker, $2 a time, $3 ids, $4 fences.
# What it was given before then and does not hold: the answer to its claim was lost.
FORGOTTEN = _take_back(
    "SELECT $1::uuid AS id",
    "AND e.started_at < $2 AND NOT EXISTS ("
    "SELECT FROM unnest($3::uuid[], $4::bigint[]) AS h (id, fence) WHERE h.id = e.id AND h.fence = e.fence)",
)

# $1 worker, $2 seconds, $3.. arrays of what it holds: users, ids, fences.
# A row for each that it holds no longer, or one without; none where it was declared dead.
BEAT = """
WITH alive AS (
    UPDATE workers SET alive_until = now() + make_interval(secs => $2) WHERE id = $1 RETURNING id
)
SELECT now() AS at, lost.id FROM alive LEFT JOIN LATERAL (
    SELECT h.id FROM unnest($3::uuid[], $4::uuid[], $5::bigint[]) AS h (user_id, id, fence)
    LEFT JOIN agent_executions e
        ON e.user_id = h.user_id AND e.id = h.id AND e.fence = h.fence AND e.status = 'running'
    WHERE e.id IS NULL
) lost ON true
"""

EXPIRED_AT_ONCE = 500
EXPIRE = f"""
WITH e AS (
    UPDATE agent_executions e
    SET status = 'expired', finished_at = {_ENDED_AT}, rank = NULL, due_at = NULL, version = e.version + 1
    WHERE (e.user_id, e.id) IN (
        SELECT user_id, id FROM agent_executions WHERE status = 'queued' AND expires_at <= now()
        LIMIT {EXPIRED_AT_ONCE} FOR UPDATE SKIP LOCKED
    ) AND e.status = 'queued'
    RETURNING {CHANGED}
), noted AS ({event(_TYPE_OF_STATUS, "e", source="expire")}
), audited AS ({_AUDIT.format(rows="e")}
), called AS ({_CALL_BACK})
SELECT id FROM e
"""

MAKE_DUE = f"""
WITH e AS (
    UPDATE agent_executions e SET rank = now() - e.priority * {_PRIORITY_STEP}, due_at = NULL
    WHERE (e.user_id, e.id) IN (
        SELECT user_id, id FROM agent_executions
        WHERE status = 'queued' AND rank IS NULL AND due_at <= now() ORDER BY due_at LIMIT 500 FOR UPDATE SKIP LOCKED
    ) AND e.status = 'queued' AND e.rank IS NULL
    RETURNING e.agent_type
)
SELECT DISTINCT agent_type FROM e
"""
