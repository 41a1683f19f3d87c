"""Which engine answers a search: by what it is for, then by how it fares; and the next one when it does not."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.deadline import Deadline
from shared.errors import Invalid, NotFound, Unavailable
from shared.ports.vector_engine import Backend, Hits, Wanted
from shared.ports.vectors import Kept
from shared.vectors.serving.station import LATE, Station

logger = logging.getLogger("sutazai.vectors")

# An engine that has not answered by then is not given up, but the next one is asked too.
HEDGE_S: Final = 0.25
_MORE_S: Final = 0.005
WAIT_S: Final = 2.0
PATIENCE_S: Final = 10.0
_TEXTS: Final[tuple[Backend, ...]] = ("chroma", "qdrant", "faiss")
_FILTERED: Final[tuple[Backend, ...]] = ("qdrant", "faiss", "chroma")
_RAW: Final[tuple[Backend, ...]] = ("faiss", "qdrant", "chroma")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    collection: Kept
    wanted: Wanted
    backend: Backend | None = None
    min_seq: int = 0

    @property
    def preferred(self) -> Sequence[Backend]:
        """Of the collection's engines, the one that is for this first."""
        order = _TEXTS if self.wanted.contains else _FILTERED if self.wanted.filter else _RAW
        return sorted(
            (backend for backend in order if backend in self.collection.backends),
            key=lambda backend: backend != self.backend,
        )


@dataclass(frozen=True, slots=True)
class Routed:
    """`degraded`: another engine has answered than the one that was wanted, or is for this."""

    hits: Hits
    backend: Backend
    degraded: bool


class Router:
    def __init__(self, stations: Mapping[Backend, Station]) -> None:
        self._stations = stations

    async def search(self, ask: Ask) -> Routed:
        """Raises Invalid for an engine that the collection is not in, Unavailable where none can answer."""
        collection = ask.collection
        if ask.backend is not None and ask.backend not in collection.backends:
            raise Invalid(f"the collection is in {', '.join(collection.backends)}, and not in {ask.backend!r}")
        preferred = ask.preferred
        if not collection.seq:
            empty: Hits = Hits(of=[[] for _ in ask.wanted.queries], applied_seq=0, exact=True)
            return Routed(empty, preferred[0], degraded=False)
        order = self._ordered(ask, preferred)
        try:
            with Deadline(PATIENCE_S):
                if ask.min_seq:
                    order = await self._far_enough(order, ask)
                station, hits = await self._first(order, ask)
        except TimeoutError:
            raise Unavailable("no engine has answered in time", backends=list(preferred)) from None
        return Routed(hits, station.backend, degraded=station.backend != preferred[0])

    def _ordered(self, ask: Ask, preferred: Sequence[Backend]) -> list[Station]:
        if len(preferred) == 1:
            return [self._stations[preferred[0]]]

        def fares(station: Station) -> tuple[bool, bool]:
            lag = ask.collection.seq - station.applied_seq(ask.collection.id)
            is_asked_for = station.backend == ask.backend
            return station.ejection.lasts, (station.is_late or lag > LATE) and not is_asked_for

        return sorted((self._stations[backend] for backend in preferred), key=fares)

    async def _far_enough(self, order: Sequence[Station], ask: Ask) -> list[Station]:
        """The first is waited for, and after it whichever is as far soonest; those that are not are passed over."""
        need = ask.min_seq

        def reached() -> list[Station]:
            return [station for station in order if station.applied_seq(ask.collection.id) >= need]

        for station in order:
            if station in reached():
                break
            others = len(reached())
            try:
                # Half of it for the others, where there are some that need it.
                async with asyncio.timeout(WAIT_S / 4 if others else WAIT_S / len(order)):
                    await station.reached(ask.collection, need)
                break
            except TimeoutError:
                continue
        if not (found := reached()):
            raise Unavailable(f"no engine is at {need!r} yet", min_seq=need)
        return found

    async def _first(self, order: Sequence[Station], ask: Ask) -> tuple[Station, Hits]:
        """The first answer. An engine that fails makes way at once, one that is slow after a while."""
        waiting = deque(order)
        running: dict[asyncio.Task[Hits], Station] = {}
        reasons: list[str] = []
        try:
            while waiting or running:
                if waiting:
                    station = waiting.popleft()
                    if not waiting and not running:
                        return station, await _asked(station, ask)
                    running[asyncio.create_task(_asked(station, ask))] = station
                patience_s = HEDGE_S + _MORE_S * len(ask.wanted.queries) if waiting else None
                done, _ = await asyncio.wait(running, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    station = running.pop(task)
                    try:
                        return station, task.result()
                    except (Unavailable, NotFound) as exc:
                        reasons.append(exc.message)
        except (Unavailable, NotFound) as exc:
            reasons.append(exc.message)
        finally:
            if running:
                await _ended(running)
        raise Unavailable("no engine can answer now", reasons=reasons)


async def _asked(station: Station, ask: Ask) -> Hits:
    """What goes wrong in an engine is that engine's failure, unless what was asked is at fault."""
    try:
        hits = await station.search(ask.collection, ask.wanted)
    except NotFound:
        # It is there, and will be filled.
        raise
    except Invalid:
        station.ejection.succeeded()
        raise
    except asyncio.CancelledError:
        # Another one was faster, or nobody waits any more.
        station.ejection.failed()
        raise
    except Exception as exc:
        station.ejection.failed()
        if isinstance(exc, Unavailable):
            raise
        logger.exception("%s failed", station.backend)
        raise Unavailable(f"{station.backend} failed") from exc
    station.ejection.succeeded()
    return hits


async def _ended(running: Mapping["asyncio.Task[Hits]", Station]) -> None:
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
