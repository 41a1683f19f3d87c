"""How far engines are behind the record, for those who operate them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import get_args
from uuid import UUID

from pydantic import BaseModel

from shared.errors import Unavailable
from shared.ports.vector_engine import Backend
from shared.ports.vector_service import EngineState, VectorService
from shared.ports.vectors import Kept, Progress, Truth

# Of each engine.
_SHOWN = 100


class Lagging(BaseModel):
    """`error`: why the engine does not take what comes next."""

    collection_id: UUID
    epoch: int
    seq: int
    applied_seq: int
    lag_seq: int
    error: str | None
    updated_at: datetime | None


class EngineReport(BaseModel):
    """`status` is `unknown` where the vector service cannot be asked; what is noted in the record stays known.

    `drifted` and `repaired`: collections that differed from the record at the last sweep, and points mended by it.
    """

    backend: Backend
    status: str
    detail: str
    collections: int
    behind: int
    lag_seq: int
    failing: int
    drifted: int
    repaired: int
    swept_at: datetime | None
    lagging: list[Lagging]


async def reports(service: VectorService, truth: Truth) -> list[EngineReport]:
    states: Mapping[Backend, EngineState] = {}
    said = ""
    try:
        states = {state.backend: state for state in await service.engines()}
    except Unavailable as exc:
        said = exc.message
    kept = await truth.collections()
    found = []
    for backend in get_args(Backend):
        of_this = [one for one in kept if backend in one.backends]
        if backend in states or of_this:
            found.append(_report(backend, states.get(backend), said, of_this, await truth.progress(backend)))
    return found


def _report(
    backend: Backend, state: EngineState | None, said: str, kept: Sequence[Kept], progress: Mapping[UUID, Progress]
) -> EngineReport:
    behind = [one for one in (_lagging(each, progress.get(each.id)) for each in kept) if one.lag_seq or one.error]
    behind.sort(key=lambda one: (one.error is None, -one.lag_seq, one.collection_id))
    swept_at = state.swept_at if state else None
    return EngineReport(
        backend=backend,
        status=state.status if state else "unknown",
        detail=state.detail if state else said or "this platform runs without it",
        collections=len(kept),
        behind=sum(one.lag_seq > 0 for one in behind),
        lag_seq=sum(one.lag_seq for one in behind),
        failing=sum(one.error is not None for one in behind),
        drifted=state.drifted if state else 0,
        repaired=state.repaired if state else 0,
        swept_at=None if swept_at is None else datetime.fromtimestamp(swept_at, UTC),
        lagging=behind[:_SHOWN],
    )


def _lagging(kept: Kept, noted: Progress | None) -> Lagging:
    applied = noted.applied_seq if noted else 0
    return Lagging(
        collection_id=kept.id,
        epoch=noted.epoch if noted else 0,
        seq=kept.seq,
        applied_seq=applied,
        lag_seq=max(0, kept.seq - applied),
        error=noted.error if noted else None,
        updated_at=noted.updated_at if noted else None,
    )
