"""Objects: bytes under keys, in a folder or in S3."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    key: str
    size_bytes: int
    # Changes with the content; opaque.
    etag: str


class Objects(Protocol):
    """Keys are segments of [a-z0-9._-] with `/` between them. All raise Unavailable when the store is out of reach."""

    async def put(self, key: str, content: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """Whole or not at all; returns the etag. Raises Conflict where the condition does not hold."""

    async def get(self, key: str) -> tuple[bytes, str]:
        """The content and its etag. Raises NotFound."""

    def read(self, key: str) -> AsyncIterator[bytes]:
        """In pieces. Raises NotFound."""

    async def delete(self, key: str) -> None:
        """Nothing happens where it is not there."""

    def list(self, prefix: str) -> AsyncIterator[StoredObject]: ...

    async def presigned(self, key: str, *, seconds: int) -> str | None:
        """A URL that gives it to whoever has the URL; None where the store has no such thing."""
