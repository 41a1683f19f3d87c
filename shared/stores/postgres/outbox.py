"""Rows that go with an act, in its own transaction: the events it caused and its line in the audit trail."""

from typing import Literal
from uuid import UUID

from events.base import Event
from shared.stores.postgres.database import Connection

Outcome = Literal["done", "refused"]


async def record_event(
    connection: Connection, event: Event, *, source: str, subject: str, user_id: UUID | None
) -> None:
    """`source` is the function that caused it (`/functions/register`), `subject` the aggregate's id."""
    await connection.execute(
        "INSERT INTO events (type, source, subject, user_id, data) VALUES ($1, $2, $3, $4, $5)",
        event.type,
        source,
        subject,
        user_id,
        event.model_dump(mode="json"),
    )


def _plain(text: str) -> str:
    """Control characters would let a name forge a second line."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)[:200]


async def record_act(
    connection: Connection, *, actor: UUID | None, action: str, on: str, outcome: Outcome = "done"
) -> None:
    """The actor is a user's id, which names nobody once the user's row is erased."""
    await connection.execute(
        "INSERT INTO audit_log (actor, action, object, outcome) VALUES ($1, $2, $3, $4)",
        f"user:{actor}" if actor else "anonymous",
        action,
        _plain(on),
        outcome,
    )
