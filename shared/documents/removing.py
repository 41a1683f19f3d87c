"""Takes a document's chunks out of the collection that they are in."""

from collections.abc import Sequence
from uuid import UUID

from shared.errors import NotFound
from shared.ports.documents import chunk_id
from shared.ports.vectors import Vectors

_AT_ONCE = 1000


async def remove_chunks(
    vectors: Vectors,
    user_id: UUID,
    collection: str,
    document_id: UUID,
    positions: Sequence[int],
    *,
    collection_id: UUID | None = None,
) -> None:
    """Those that are there; nothing happens where their collection is not, or is not the one of that id."""
    try:
        for at in range(0, len(positions), _AT_ONCE):
            ids = [chunk_id(document_id, position) for position in positions[at : at + _AT_ONCE]]
            await vectors.delete(user_id, collection, ids, collection_id=collection_id)
    except NotFound:
        return
