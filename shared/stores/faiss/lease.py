"""One of several at a time, by an object that is swapped: whoever holds it says so until when."""

import time
from contextlib import suppress
from typing import Self
from uuid import uuid4

from pydantic import BaseModel, ValidationError

from shared.errors import Conflict, NotFound
from shared.ports.objects import Objects


class _Held(BaseModel):
    holder: str
    until: float


class Lease:
    """In seconds since 1970: the clocks of those who share it differ by much less than `seconds`."""

    def __init__(self, objects: Objects, key: str, *, seconds: float) -> None:
        self._objects = objects
        self._key = key
        self._seconds = seconds
        self._holder = uuid4().hex
        self._etag: str | None = None
        self._until = 0.0

    @property
    def is_held(self) -> bool:
        return self._etag is not None

    async def __aenter__(self) -> Self:
        """Held, or another one's: `is_held` tells."""
        etag: str | None = None
        with suppress(NotFound):
            content, etag = await self._objects.get(self._key)
            if _until(content) > time.time():
                return self
        await self._put(etag)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.is_held:
            self._seconds = 0
            await self._put(self._etag)

    async def renew(self) -> None:
        """Once half of it has gone. Raises Conflict where another one has taken it."""
        if time.time() > self._until - self._seconds / 2:
            await self._put(self._etag)
            if not self.is_held:
                raise Conflict(f"the lease {self._key!r} is another one's by now")

    async def _put(self, etag: str | None) -> None:
        self._until = time.time() + self._seconds
        content = _Held(holder=self._holder, until=self._until).model_dump_json().encode()
        try:
            self._etag = await self._objects.put(self._key, content, if_match=etag, if_absent=etag is None)
        except (Conflict, NotFound):
            self._etag = None


def _until(content: bytes) -> float:
    """What nobody can read holds nobody up."""
    try:
        return _Held.model_validate_json(content).until
    except ValidationError:
        return 0.0
