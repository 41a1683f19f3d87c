"""What a model has said before: near by in the process, and in Redis where that is faster than asking it again."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Coroutine, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import Busy, ConfigurationError, Unavailable
from shared.ports.embedders import Kind
from shared.ports.vector_service import Model
from shared.running import running_task
from shared.stores.embedders.tiers import Opened, Tier
from shared.stores.redis import Cache

logger = logging.getLogger("sutazai.vectors")

Row = NDArray[np.float32]

TTL_MS = 86_400_000
# Texts that a model may be asked for at a time, those of all callers together.
MOST_WAITING = 20_000
# Redis is asked for so many vectors in one trip: it has 100 ms to answer.
_AT_ONCE = 64
# As much as the length of a row that was kept may differ from 1.
_LENGTH_OFF = 1e-3
# Of an entry beside its vector, about.
_ENTRY_BYTES = 400


class Near:
    """The newest used rows, bounded in bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._rows: OrderedDict[str, Row] = OrderedDict()

    def get(self, key: str) -> Row | None:
        row = self._rows.get(key)
        if row is not None:
            self._rows.move_to_end(key)
        return row

    def keep(self, key: str, row: Row) -> None:
        if key in self._rows:
            return
        self._rows[key] = row
        self._bytes += row.nbytes + _ENTRY_BYTES
        while self._bytes > self._most_bytes:
            _, oldest = self._rows.popitem(last=False)
            self._bytes -= oldest.nbytes + _ENTRY_BYTES


class Recall:
    """One model. A text that several callers want at the same time is embedded once."""

    def __init__(self, tier: Tier, *, near: Near, cache: Cache) -> None:
        self.model: Model = tier.model
        self._open = tier.open
        self._near = near
        self._cache = cache if tier.is_slow else None
        self._opened: Opened | None = None
        self._opening = asyncio.Lock()
        self._flights: dict[str, asyncio.Task[Mapping[str, Row]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def embed(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        keys = [self._key(kind, text) for text in texts]
        wanted = dict(zip(keys, texts, strict=True))
        rows = {key: row for key in wanted if (row := self._near.get(key)) is not None}
        missing = {key: text for key, text in wanted.items() if key not in rows and key not in self._flights}
        if missing:
            self._start(missing, kind)
        for flight in {self._flights[key] for key in wanted if key not in rows}:
            rows |= await self._landing(flight)
        return np.stack([rows[key] for key in keys]) if keys else np.empty((0, self.model.dimension), np.float32)

    async def _landing(self, flight: "asyncio.Task[Mapping[str, Row]]") -> Mapping[str, Row]:
        """Who goes away leaves it to the others."""
        try:
            return await asyncio.shield(flight)
        except asyncio.CancelledError:
            if flight.cancelled() and not running_task().cancelling():
                raise Unavailable(f"the embedder {self.model.name!r} is being closed") from None
            raise

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._opened is not None:
            await self._opened.close()

    def _key(self, kind: Kind, text: str) -> str:
        digest = blake2b(text.encode(), digest_size=20).hexdigest()
        return f"CACHE:embeddings:{self.model.id}:{kind}:{digest}"

    def _start(self, missing: Mapping[str, str], kind: Kind) -> None:
        if len(self._flights) + len(missing) > MOST_WAITING:
            raise Busy(f"too many texts wait for the embedder {self.model.name!r}", retry_after=1)
        flight = self._keep_running(self._found(missing, kind))
        self._flights |= dict.fromkeys(missing, flight)
        flight.add_done_callback(lambda ended: self._landed(missing, ended))

    def _landed(self, keys: Mapping[str, str], flight: "asyncio.Task[Mapping[str, Row]]") -> None:
        for key in keys:
            del self._flights[key]
        # Who asked may be gone: then nobody else looks at what it met.
        if not flight.cancelled():
            flight.exception()

    async def _found(self, missing: Mapping[str, str], kind: Kind) -> Mapping[str, Row]:
        rows = await self._shared(missing)
        left = [key for key in missing if key not in rows]
        if left:
            model = await self._model()
            vectors = await model.embed([missing[key] for key in left], kind=kind)
            # Copies: a row that is kept is not to hold on to those that were worked out beside it.
            new = {key: _frozen(vector.copy()) for key, vector in zip(left, vectors, strict=True)}
            if self._cache is not None:
                self._keep_running(self._share(self._cache, new))
            rows |= new
        for key, row in rows.items():
            self._near.keep(key, row)
        return rows

    async def _shared(self, missing: Mapping[str, str]) -> dict[str, Row]:
        """From Redis, which is not believed blindly: what is found here may be written to the record."""
        rows: dict[str, Row] = {}
        if self._cache is None:
            return rows
        for keys in _pieces(list(missing)):
            for key, raw in zip(keys, await self._cache.get_many(keys), strict=True):
                if raw is not None and len(raw) == 4 * self.model.dimension:
                    row = np.frombuffer(raw, "<f4").astype(np.float32, copy=False)
                    with np.errstate(over="ignore", invalid="ignore"):
                        is_one = abs(float(row @ row) - 1) < _LENGTH_OFF
                    if is_one:
                        rows[key] = _frozen(row)
        return rows

    async def _share(self, cache: Cache, rows: Mapping[str, Row]) -> None:
        for keys in _pieces(list(rows)):
            await cache.set_many({key: rows[key].astype("<f4").tobytes() for key in keys}, ttl_ms=TTL_MS)

    async def _model(self) -> Opened:
        async with self._opening:
            if self._opened is None:
                try:
                    self._opened = await self._open()
                except (ConfigurationError, ImportError, OSError) as exc:
                    logger.error("the embedder %s cannot be opened: %s", self.model.name, exc)
                    raise Unavailable(f"the embedder {self.model.name!r} cannot be opened here") from exc
            return self._opened

    def _keep_running(self, work: "Coroutine[Any, Any, Any]") -> "asyncio.Task[Any]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _frozen(row: Row) -> Row:
    row.flags.writeable = False
    return row


def _pieces(keys: Sequence[str]) -> list[Sequence[str]]:
    return [keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE)]
