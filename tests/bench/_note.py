"""What our host serves in `host` beside FastAPI: a caller, a body, one key of the cache, one row."""

from uuid import UUID

from pydantic import BaseModel, Field

from shared.errors import NotFound
from shared.function import Caller, http
from shared.payload import Payload
from shared.stores.postgres.database import Database
from shared.stores.redis import Cache


class ReadNote(Payload):
    note_id: UUID
    language: str = Field(min_length=2, max_length=5)
    words: int = Field(ge=1, le=1000)
    tags: list[str] = Field(max_length=10)


class Note(BaseModel):
    note_id: UUID
    title: str
    text: str
    seen: str
    reader: UUID


@http("POST", "/notes/{note_id}", scope="tasks:read")
async def read_note(request: ReadNote, *, caller: Caller, cache: Cache, database: Database) -> Note:
    key = f"NOTE:{request.note_id}"
    seen = await cache.get(key)
    await cache.set(key, request.language.encode(), ttl_ms=60_000)
    row = await database.fetchrow("SELECT id, title, text FROM sutazai.notes WHERE id = $1", request.note_id)
    if row is None:
        raise NotFound(f"no note {request.note_id!s}")
    return Note(
        note_id=row["id"],
        title=row["title"],
        text=row["text"][: request.words],
        seen=(seen or b"").decode(),
        reader=caller.user_id,
    )
