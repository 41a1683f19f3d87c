"""What happens to work that nobody could do."""

from typing import ClassVar
from uuid import UUID

from events.base import Envelope, Event


class DeadLetterRecorded(Event):
    """Someone has to look: it names no user, and a letter about this event is not told of again."""

    type: ClassVar[str] = "dead_letter.recorded.v1"
    letter_id: UUID
    reason: str
    consumer: str
    agent: str | None = None


class EventUndelivered(Event):
    """A broker outside the record has given up on an event: `status` is what its consumer answered last, where it did.

    The broker itself sends it, to whoever it takes for its dead letters' sink.
    """

    type: ClassVar[str] = "event.undelivered.v1"
    carried: ClassVar[bool] = False
    consumer: str
    status: int | None = None
    event: Envelope
