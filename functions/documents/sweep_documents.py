"""Every 10 seconds: removes what is left of deleted documents, of erased users, and of uploads that came to nothing."""

import logging

from shared.documents.removing import remove_chunks
from shared.errors import Unavailable
from shared.function import every
from shared.ports.documents import Leavings
from shared.ports.objects import Objects
from shared.ports.vectors import Vectors

logger = logging.getLogger("sutazai.documents")

AT_ONCE = 100


@every(10, timeout_s=60)
async def sweep_documents(*, leavings: Leavings, vectors: Vectors, objects: Objects) -> None:
    """What cannot be removed now is tried again with the next turn."""
    for left in await leavings.deleted(limit=AT_ONCE):
        if left.collection is not None:
            await remove_chunks(vectors, left.user_id, left.collection, left.document_id, range(left.chunks))
        await leavings.forget(left.document_id)
    for key in await leavings.removals(limit=AT_ONCE):
        try:
            if key.endswith("/"):
                async for stored in objects.list(key):
                    await objects.delete(stored.key)
            else:
                await objects.delete(key)
        except Unavailable as exc:
            logger.warning("objects wait to be removed: %s", exc.message)
            return
        await leavings.removed(key)
