"""Answers that are kept, so that the same request under the same key gets the same one."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID


class Kept(Protocol):
    """One key, held while its request runs."""

    answer: tuple[int, bytes] | None

    def keep(self, status: int, body: bytes) -> None:
        """What the next request under this key is to get."""


class Idempotency(Protocol):
    def once(self, user_id: UUID, key: str, digest: bytes) -> AbstractAsyncContextManager[Kept]:
        """Raises IdempotencyMismatch when `digest` differs from the first request's, and Conflict while that one runs.

        Leaving the block by an exception forgets the key: the request may be sent again.
        """
