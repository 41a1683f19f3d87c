"""The parts of statements that write dead letters; each is told of in the statement that writes it."""

from events.dead_letters import DeadLetterRecorded
from shared.task_states import MOST_LOSSES

# What a letter's event needs of its row in `events`.
NOTED = "id, type, source, subject, user_id, agent, sequence, data, at"

# As an envelope writes itself: what is absent is left out.
_ENVELOPE = """jsonb_strip_nulls(jsonb_build_object(
        'specversion', '1.0', 'id', n.id, 'source', n.source, 'type', n.type, 'subject', n.subject,
        'time', to_char(n.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'datacontenttype', 'application/json', 'agent', n.agent, 'sequence', n.sequence, 'userid', n.user_id
    )) || jsonb_build_object('data', n.data)"""


def told(letters: str) -> str:
    """A letter about such a telling is not told of: its consumer would refuse that too."""
    recorded = DeadLetterRecorded.type
    return (
        "INSERT INTO events (type, source, subject, agent, data)"
        f" SELECT '{recorded}', '/functions/refuse', d.id::text, d.agent, jsonb_build_object("
        "'letter_id', d.id, 'reason', d.reason, 'consumer', d.consumer, 'agent', d.agent)"
        f" FROM {letters} d WHERE d.event ->> 'type' IS DISTINCT FROM '{recorded}'"
    )


# $1 reason, $2 consumer, $3 event, $4 attempts, $5 error
REFUSE = f"""
WITH d AS (
    INSERT INTO dead_letters (reason, consumer, event, attempts, error) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING RETURNING *
), told AS ({told("d")})
SELECT FROM d
"""

# Further parts of a statement that changes tasks (`e`) and notes it in events (`noted`). Letters are of tasks that are
# failed though their error may pass: out of attempts or, since lost workers give theirs back, out of workers.
TASK_LETTERS = f"""letters AS (
    INSERT INTO dead_letters (reason, consumer, event, attempts, error)
    SELECT 'task', replace(e.agent_type || '-' || e.task_id, '_', '-'), {_ENVELOPE},
        CASE WHEN e.losses >= {MOST_LOSSES} THEN e.losses ELSE e.attempt END,
        left((e.error ->> 'code') || ': ' || (e.error ->> 'message'), 1000)
    FROM e JOIN noted n ON n.subject = e.id::text
    WHERE e.status = 'failed' AND NOT e.attached AND (e.error ->> 'retryable')::boolean
        AND (e.attempt >= e.max_attempts OR e.losses >= {MOST_LOSSES})
    ON CONFLICT DO NOTHING RETURNING *
), told AS ({told("letters")})"""
