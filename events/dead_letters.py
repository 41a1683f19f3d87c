"""What happens to work that nobody could do."""

from typing import ClassVar
from uuid import UUID

from events.base import Event


class DeadLetterRecorded(Event):
    """Someone has to look: it names no user, and a letter about this event is not told of again."""

    type: ClassVar[str] = "dead_letter.recorded.v1"
    letter_id: UUID
    reason: str
    consumer: str
    agent: str | None = None
