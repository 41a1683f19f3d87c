"""What happens to documents."""

from typing import ClassVar
from uuid import UUID

from events.base import Event


class _DocumentChanged(Event):
    """`task_id`: of the task that has put it out; None where nobody knows it. `chunks`: how many it was cut into."""

    document_id: UUID
    user_id: UUID
    task_id: UUID | None = None
    collection: str
    title: str
    chunks: int = 0


class DocumentReceived(_DocumentChanged):
    type: ClassVar[str] = "document.received.v1"


class DocumentIndexed(_DocumentChanged):
    """It can be found."""

    type: ClassVar[str] = "document.indexed.v1"


class DocumentDeleted(_DocumentChanged):
    """It can no longer be found, and its original is gone; `title` is empty."""

    type: ClassVar[str] = "document.deleted.v1"
