"""The suite of tests/contract/delivery.py, where the record itself carries."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from shared.config import Settings
from shared.ports.signals import Channel, Signals
from shared.ports.tasks import NewTask, Tasks
from shared.wiring import Ports
from tests.contract.delivery import *  # noqa: F403
from tests.contract.delivery import Outage, settings_for
from tests.ledger_origin import Origin
from tests.system.platform import Client, Platform
from tests.system.tasks import record


class _Mute:
    """Signals that nobody gets."""

    def send(self, channel: Channel, payload: str) -> None:
        pass

    def listening(self, channel: Channel, heard: Callable[[str | None], None]) -> AbstractAsyncContextManager[None]:
        return nullcontext()


@dataclass(frozen=True)
class _Hints:
    platform: Platform

    @property
    def alarm(self) -> None:
        """Nobody knows whether a hint was heard."""

    async def accept_unheard(self, client: Client, asked: Sequence[dict[str, Any]]) -> list[str]:
        user_id = UUID((await client.http.get("/api/v1/users/me")).json()["data"]["id"])
        settings = Settings.read(
            {"SUTAZAI_HOME": str(self.platform.home), "SUTAZAI_POSTGRES_URL": self.platform.postgres_url}
        )
        new = [
            NewTask(user_id=user_id, agent=one["agent_id"], tool=one["task"], parameters=one["parameters"])
            for one in asked
        ]
        async with Ports(settings, {Signals: _Mute()}) as ports:
            return [str(task_id) for task_id in await (await ports.open(Tasks)).accept(new)]

    @asynccontextmanager
    async def copying(self) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        async with record(self.platform) as connection:

            async def copy() -> None:
                wake_up = "'[\"everything\", ' || n || ']'"
                await connection.execute(f"SELECT pg_notify('sutazai_wake', {wake_up}) FROM generate_series(1, 5) n")

            yield copy

    async def litter(self) -> list[str]:
        """Only who has the record's password can send hints, so nobody keeps what is none."""
        async with record(self.platform) as connection:
            for channel in ("sutazai_wake", "sutazai_accepted", "sutazai_cancelled", "sutazai_ended", "sutazai_events"):
                for payload in ("", "{", "[]", "{}", '["everything"]', '["nobody", 1]', "everything many 4"):
                    await connection.execute("SELECT pg_notify($1, $2)", channel, payload)
        return []


@pytest.fixture(scope="module")
def platform(outside: Origin) -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="sutazai-delivery-") as folder:
        Path(folder).chmod(0o755)
        with Platform(Path(folder) / "home", **settings_for(outside)) as platform:
            yield platform


@pytest.fixture
def carrier(platform: Platform) -> _Hints:
    return _Hints(platform)


@pytest.fixture
def outage(platform: Platform) -> Outage:
    def perform() -> None:
        """The supervisor brings it back."""
        before = platform.pids()["postgres"]
        for pid in before:
            platform.kill(pid)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if platform.pids().get("postgres", before) != before and asyncio.run(_answers(platform)):
                return
            time.sleep(0.05)
        raise TimeoutError("PostgreSQL did not come back")

    return Outage(perform, refuses=True)


async def _answers(platform: Platform) -> bool:
    try:
        async with record(platform) as connection:
            return bool(await connection.fetchval("SELECT true"))
    except (OSError, asyncpg.PostgresError):
        return False
