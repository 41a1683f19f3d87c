"""Dead letters: what was refused for good, and another chance for it."""

from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue

from events.base import Envelope

# `conflict`: the id of an event that was handled before, with other data. `task`: out of attempts, or of workers.
Reason = Literal["refused", "failed", "attempts", "conflict", "unreadable", "task", "callback"]


class DeadLetter(BaseModel):
    """`event` is the envelope; of what nobody could parse `{body, encoding, content_type, size_bytes, sha256}`.

    `reason` is one of Reason, or one that only a newer version knows.
    """

    model_config = ConfigDict(frozen=True)
    id: UUID
    reason: str
    consumer: str
    agent: str | None
    event: dict[str, JsonValue]
    error: str
    attempts: int
    at: datetime


class DeadLetterList(BaseModel):
    model_config = ConfigDict(frozen=True)
    dead_letters: tuple[DeadLetter, ...]
    next_cursor: str | None


class DeadLetters(Protocol):
    """What an operator does (`actor`) leaves its audit line in the same transaction."""

    async def refuse(self, consumer: str, event: Envelope, *, reason: Reason, error: str, attempts: int = 1) -> None:
        """Keep the event and why it died; the same event refused again by the same consumer is kept once."""

    async def unreadable(self, consumer: str, body: bytes, *, content_type: str, error: str) -> None:
        """Keep what nobody can parse, at most 64 KiB of it; the same body is kept once."""

    async def list(self, *, reason: Reason | None, agent: str | None, limit: int, cursor: str | None) -> DeadLetterList:
        """Newest first; a page of large ones ends early. Raises Invalid for a cursor that is none of ours."""

    async def get(self, letter_id: UUID) -> DeadLetter | None: ...

    async def delete(self, letter_id: UUID, *, actor: UUID) -> bool:
        """False, here and below, when the letter has gone already: then nothing was done."""

    async def replay_event(self, letter_id: UUID, *, actor: UUID) -> bool:
        """Its consumer, and no other, gets the event again; the letter goes.

        Where a broker outside hands events out by their type, others who take it get it again too.
        Raises Conflict for an event that the record cannot hold.
        """

    async def replay_callback(self, letter_id: UUID, *, actor: UUID) -> bool:
        """The callback is due again; the letter goes. Raises Conflict when there is no callback any more."""

    async def replayed_task(self, letter_id: UUID, *, actor: UUID) -> bool:
        """The task was queued again, so the letter goes."""

    async def refused(self, action: str, letter_id: UUID, *, actor: UUID) -> None:
        """Records an act that was refused."""
