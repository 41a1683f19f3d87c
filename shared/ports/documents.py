"""Documents: texts and files that users give to be found, as they see them and as they are indexed and removed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.ports.tasks import TaskError
from shared.ports.vector_engine import Metadata
from shared.ports.vectors import Kept

# The group of functions whose worker indexes them; as an agent's, its executions are shown with the other tasks.
AGENT = "documents"
TOOL = "index_document"
UNTITLED = "Untitled"

DocumentStatus = Literal["received", "indexing", "indexed", "failed"]
MetadataValue = str | int | float | bool | list[str | int | float | bool]


class Document(BaseModel):
    """`task_id`: of the task that indexes it. `chunks`: how many it was cut into, once that is known.

    Chunks are vectors of `collection` named `{document_id}:{n}`, n from 0.
    """

    model_config = ConfigDict(frozen=True)
    document_id: UUID
    task_id: UUID
    title: str
    file_name: str | None
    media_type: str
    size_bytes: int
    collection: str
    metadata: dict[str, MetadataValue]
    status: DocumentStatus
    error: TaskError | None
    chunks: int
    created_at: datetime
    indexed_at: datetime | None


class DocumentList(BaseModel):
    documents: list[Document]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDocument:
    """`title` is None where its text has to say it."""

    id: UUID
    user_id: UUID
    title: str | None = field(repr=False)
    file_name: str | None = field(repr=False)
    media_type: str
    size_bytes: int
    collection: str
    metadata: Metadata = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a task that indexes needs to know. `placed_in` and `chunks`: of an earlier attempt, where there was one."""

    user_id: UUID
    document_id: UUID
    title: str | None = field(repr=False)
    file_name: str | None = field(repr=False)
    media_type: str
    collection: str
    metadata: Metadata = field(repr=False)
    placed_in: UUID | None
    chunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A deleted document's chunks; `collection` is None where they have gone with theirs."""

    user_id: UUID
    document_id: UUID
    task_id: UUID
    collection: str | None
    chunks: int


class Documents(Protocol):
    """For callers; another user's document is not there."""

    async def expect(self, user_id: UUID, document_id: UUID) -> None:
        """Before its original is stored: unless `receive` follows within the hour, that is removed again."""

    async def receive(self, new: NewDocument) -> Document:
        """The row, the task that indexes it and the event, all or none; the same id gives the same document.

        Raises RateLimited (too many tasks wait), NotFound (the user is gone), and Unavailable also where it was not
        expected any more.
        """

    async def get(self, user_id: UUID, document_id: UUID) -> Document | None: ...

    async def list(
        self, user_id: UUID, *, status: DocumentStatus | None, collection: str | None, limit: int, cursor: str | None
    ) -> DocumentList:
        """Newest first. Raises Invalid for a cursor that is none of ours."""

    async def delete(self, user_id: UUID, document_id: UUID) -> Leftover | None:
        """From now on it is not there, and its original goes; its chunks are the caller's to delete, or the sweep's.

        None where there is none.
        """


class Indexing(Protocol):
    """For the task that indexes; every method finds nothing where the document was deleted meanwhile."""

    async def begin(self, user_id: UUID, document_id: UUID, task_id: UUID) -> Job | None:
        """From now on this is its task, and what an earlier one failed of is forgotten."""

    async def place(self, job: Job, collection: Kept, chunks: int) -> bool:
        """Where its chunks are going to lie, and how many they are; False where it is gone."""

    async def kept(self, collection: Kept, ids: Sequence[str]) -> Mapping[str, bytes]:
        """Of the vectors that are there by now, the SHA-256 of their texts."""

    async def collection_of(self, user_id: UUID, collection_id: UUID) -> str | None:
        """Its name; None where it is gone."""

    async def is_there(self, job: Job) -> bool: ...

    async def indexed(self, job: Job, task_id: UUID, *, title: str) -> bool:
        """It can be found, and the event says so, once. `title` counts where nobody has given one."""

    async def failed(self, user_id: UUID, document_id: UUID, task_id: UUID, error: TaskError) -> None: ...


class Leavings(Protocol):
    """For the sweep, on nobody's behalf."""

    async def deleted(self, *, limit: int) -> Sequence[Leftover]:
        """Documents that were deleted and whose task has come to its end, so that nothing writes chunks any more."""

    async def forget(self, document_id: UUID) -> None: ...

    async def removals(self, *, limit: int) -> Sequence[str]:
        """Keys of objects that are due to go; those that end in a slash stand for all below."""

    async def removed(self, key: str) -> None: ...


def object_key(user_id: UUID, document_id: UUID) -> str:
    return f"{objects_of(user_id)}documents/{document_id}"


def objects_of(user_id: UUID) -> str:
    """The prefix of all that is stored of a user."""
    return f"users/{user_id}/"


def chunk_id(document_id: UUID, position: int) -> str:
    return f"{document_id}:{position}"
