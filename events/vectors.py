"""What happens to vectors."""

from typing import ClassVar
from uuid import UUID

from events.base import Event


class VectorsUpserted(Event):
    """`seq` is the collection's afterwards; those up to it that are new are `count`."""

    type: ClassVar[str] = "vectors.upserted.v1"
    user_id: UUID
    collection: str
    count: int
    seq: int


class VectorsDeleted(Event):
    type: ClassVar[str] = "vectors.deleted.v1"
    user_id: UUID
    collection: str
    count: int
    seq: int
