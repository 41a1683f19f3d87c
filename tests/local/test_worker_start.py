"""The start of a worker's process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import pytest

from shared.config import Settings
from shared.errors import Unavailable
from shared.local import worker
from shared.ports.signals import Signals
from shared.ports.tasks import Queue
from shared.wiring import Ports


class _AwayAtFirst:
    """A record that cannot be reached the first two times."""

    def __init__(self) -> None:
        self.joined = 0

    async def join(self, *_: object, **__: object) -> UUID:
        self.joined += 1
        if self.joined < 3:
            raise Unavailable("the database cannot be reached now")
        return UUID(int=self.joined)

    async def beat(self, *_: object) -> list[UUID]:
        return []

    async def leave(self, *_: object) -> None: ...

    @asynccontextmanager
    async def listening(self, *_: object) -> AsyncIterator[None]:
        yield


def test_a_worker_that_starts_before_the_record_waits_for_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_TRY_AGAIN_S", 0.0)

    async def scenario() -> int:
        record = _AwayAtFirst()
        async with Ports(settings, {Queue: record, Signals: record}) as ports, AsyncExitStack() as stack:
            joined = await asyncio.wait_for(worker._joined(stack, [], ports), 30)
            assert joined.agents == []
        return record.joined

    assert asyncio.run(scenario()) == 3
