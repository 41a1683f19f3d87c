"""Answers in Redis, sealed, and the newest of them in this process. Their names say of which version they are."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Self

from pydantic import ValidationError

from shared.backlog import Backlog
from shared.crypto import Codec
from shared.errors import ConfigurationError
from shared.function import MIB
from shared.ports.vector_answers import SearchAnswer
from shared.ports.vectors import Kept
from shared.stores.redis import Cache

_KEPT_MS = 3_600_000
_LARGEST_BYTES = MIB
NEAR_BYTES = 16 * MIB
# Searches that would wait for longer are sent away.
WAIT_S = 1.0


class RedisVectorAnswers:
    def __init__(self, *, cache: Cache, codec: Codec) -> None:
        self._cache = cache
        self._codec = codec
        # Of one version, so they are true for as long as anybody asks for them.
        self._near: OrderedDict[str, tuple[SearchAnswer, int]] = OrderedDict()
        self._near_bytes = 0
        self._under_way: dict[str, asyncio.Task[tuple[SearchAnswer, bool]]] = {}
        self._searches = Backlog("searches", most_s=WAIT_S)
        self._writing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._under_way.values(), *self._writing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def once(
        self, collection: Kept, request: str, search: Callable[[], Awaitable[SearchAnswer]]
    ) -> tuple[SearchAnswer, bool]:
        name = _name(collection, request)
        if (near := self._near.get(name)) is not None:
            self._near.move_to_end(name)
            return near[0], True
        if name not in self._under_way:
            self._under_way[name] = task = asyncio.create_task(self._searched(name, search))
            task.add_done_callback(lambda ended: self._ended(name, ended))
        # Whoever goes away does not take the answer from the others.
        return await asyncio.shield(self._under_way[name])

    def _ended(self, name: str, ended: "asyncio.Task[tuple[SearchAnswer, bool]]") -> None:
        del self._under_way[name]
        if not ended.cancelled():
            # Perhaps nobody waits any more.
            ended.exception()

    async def _searched(self, name: str, search: Callable[[], Awaitable[SearchAnswer]]) -> tuple[SearchAnswer, bool]:
        with self._searches.entered():
            if (known := await self._known(name)) is not None:
                return known, True
            answer = await search()
        if not answer.degraded and answer.lag_seq <= 0:
            self._keep(name, answer)
        return answer, False

    def _keep(self, name: str, answer: SearchAnswer) -> None:
        """Nobody waits until others know it too."""
        written = answer.model_dump_json().encode()
        if len(written) <= _LARGEST_BYTES:
            self._remember(name, answer, len(written))
            sealed = self._codec.seal(written, table="cache", column="vectors", row=name)
            task = asyncio.create_task(self._cache.set(name, sealed, ttl_ms=_KEPT_MS))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _known(self, name: str) -> SearchAnswer | None:
        sealed = await self._cache.get(name)
        if sealed is None:
            return None
        try:
            written = self._codec.open(sealed, table="cache", column="vectors", row=name)
            answer = SearchAnswer.model_validate_json(written)
        except (ConfigurationError, ValidationError):
            # Whoever can write to Redis can break an entry, and a key may have been changed.
            return None
        self._remember(name, answer, len(written))
        return answer

    def _remember(self, name: str, answer: SearchAnswer, size_bytes: int) -> None:
        self._near[name] = (answer, size_bytes)
        self._near_bytes += size_bytes
        while self._near_bytes > NEAR_BYTES:
            self._near_bytes -= self._near.popitem(last=False)[1][1]


def _name(collection: Kept, request: str) -> str:
    """By the collection's id: another one may have its name tomorrow, and count its changes from 0."""
    hashed = hashlib.sha256(request.encode()).hexdigest()
    return f"CACHE:vectors:{collection.user_id}:{collection.id}:{collection.seq}:{hashed}"
