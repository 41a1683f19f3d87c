"""`make bench B=sockets`: what an idle socket weighs, and how late changes arrive, also beside a stuck reader."""

import argparse
import asyncio
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from shared.config import Settings
from shared.identity import scopes_of
from shared.ports.sessions import Sessions
from shared.ports.tasks import NewTask, Tasks
from shared.ports.tokens import Tokens
from shared.ports.users import Registration, Users
from shared.stores.postgres.database import Database
from shared.wiring import Ports
from tests.people import FIREFOX
from tests.report import Target, at_most, exactly, report
from tests.system.platform import Platform

_ROLES = frozenset({"user"})
_A_USERS_SOCKETS = 50
_TASKS_A_SECOND = 100.0
_BURST = 6000
_TURNS = 3


@dataclass
class Place:
    """The platform's own stores, for making users and tasks without the cost of requests."""

    platform: Platform
    ports: Ports
    arrived: dict[int, float] = field(default_factory=dict)

    async def person(self, name: str) -> tuple[UUID, str]:
        users, sessions, tokens = (
            await self.ports.open(Users),
            await self.ports.open(Sessions),
            await self.ports.open(Tokens),
        )
        user = await users.register(Registration(email=f"{name}@example.org", username=name, password_hash="-"))
        session = await sessions.start(user.id, tokens.new_refresh(), call=FIREFOX)
        token = tokens.issue(user_id=user.id, session_id=session.session_id, roles=_ROLES, scopes=scopes_of(_ROLES))
        return user.id, token.text

    async def open(self, token: str, channels: Sequence[str], wire: socket.socket | None = None) -> ClientConnection:
        address = self.platform.api.replace("http", "ws", 1) + "/ws"
        connection = await connect(address, proxy=None, compression=None, sock=wire, ping_interval=None)
        await connection.send(json.dumps({"type": "auth", "token": token}))
        assert json.loads(await connection.recv())["type"] == "ready"
        await connection.send(json.dumps({"type": "subscribe", "channels": channels}))
        assert json.loads(await connection.recv())["type"] == "subscribed"
        return connection

    async def listen(self, connection: ClientConnection) -> None:
        try:
            async for text in connection:
                frame = json.loads(text)
                if frame["type"] == "task_progress" and frame["seq"] is not None:
                    self.arrived[frame["seq"]] = time.time()
        except ConnectionClosed:
            return

    def resident_kib(self) -> int:
        [gateway] = self.platform.pids()["gateway"]
        pages = int(Path(f"/proc/{gateway}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 1024


async def _idle(place: Place, stack: AsyncExitStack, count: int) -> float:
    """KiB of the gateway per socket. What only the first sockets load is loaded before."""
    tokens = [(await place.person(f"idle{n}"))[1] for n in range(0, count + 1, _A_USERS_SOCKETS)]
    channels = ["task_status", "notifications", "agent_updates"]
    warm = [await place.open(tokens[-1], channels) for _ in range(20)]
    for connection in warm:
        await connection.close()
    await asyncio.sleep(2)
    before = place.resident_kib()
    for number in range(count):
        connection = await place.open(tokens[number // _A_USERS_SOCKETS], channels)
        stack.push_async_callback(connection.close)
        stack.callback(asyncio.create_task(place.listen(connection)).cancel)
    await asyncio.sleep(3)
    return (place.resident_kib() - before) / count


async def _submit(place: Place, owners: Sequence[UUID], seconds: float) -> None:
    """Tasks at an even pace, each for the next owner."""
    tasks = await place.ports.open(Tasks)
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * _TASKS_A_SECOND)):
            await asyncio.sleep(max(0.0, began + number / _TASKS_A_SECOND - time.monotonic()))
            new = NewTask(
                user_id=owners[number % len(owners)], agent="everything", tool="echo", parameters={"message": "x"}
            )
            group.create_task(tasks.accept([new]))


async def _burst(place: Place, owner: UUID) -> None:
    """Many changes of one user: enough to fill all that lies between us and a reader."""
    tasks = await place.ports.open(Tasks)
    new = NewTask(user_id=owner, agent="everything", tool="trigger-long-running-operation", parameters={})
    for _ in range(_BURST // 100):
        await tasks.accept([new] * 50)
        await asyncio.sleep(0.1)
        await tasks.cancel_all(owner)


async def _lateness_ms(place: Place, owners: Iterable[UUID]) -> list[float]:
    """From the beginning of the transaction that made a change to its frame."""
    database = await place.ports.open(Database)
    query = "SELECT seq, extract(epoch FROM at)::float8 AS at FROM events WHERE seq = ANY($1) AND user_id = ANY($2)"
    rows = await database.fetch(query, list(place.arrived), list(owners))
    return sorted((place.arrived[row["seq"]] - row["at"]) * 1000 for row in rows)


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


async def _busy(place: Place, name: str, seconds: float, *, slow_reads: bool) -> tuple[list[float], int]:
    """How late changes were for 100 busy users, and how the socket ended that belongs to the busiest."""
    place.arrived.clear()
    async with AsyncExitStack() as stack:
        owners: list[UUID] = []
        for number in range(100):
            owner, token = await place.person(f"{name}{number}")
            owners.append(owner)
            connection = await place.open(token, ["task_status"])
            stack.push_async_callback(connection.close)
            stack.callback(asyncio.create_task(place.listen(connection)).cancel)
        busiest, token = await place.person(f"{name}-busiest")
        reader = await stack.enter_async_context(_reader(place, token))
        if slow_reads:
            stack.callback(asyncio.create_task(place.listen(reader)).cancel)

        async def burst() -> int:
            await _burst(place, busiest)
            return 0 if slow_reads else await _end_of(reader)

        _, code = await asyncio.gather(_submit(place, owners, seconds), burst())
        await asyncio.sleep(2)
        late_ms = await _lateness_ms(place, owners)
        print(f"{name}: {len(late_ms)} changes, p50 {statistics.median(late_ms):.0f} ms, p99 {_p99(late_ms):.0f} ms")
        return late_ms, code


@asynccontextmanager
async def _reader(place: Place, token: str) -> AsyncIterator[ClientConnection]:
    """With room for little: what the kernel keeps for it would else hide that it reads not."""
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.setblocking(False)
    address = urlsplit(place.platform.api)
    await asyncio.get_running_loop().sock_connect(wire, (address.hostname, address.port))
    connection = await place.open(token, ["task_status"], wire)
    try:
        yield connection
    finally:
        connection.transport.abort()


async def _end_of(connection: ClientConnection) -> int:
    try:
        async with asyncio.timeout(10):
            while True:
                await connection.recv()
    except TimeoutError:
        return 0
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


async def _measure(idle: int, seconds: float) -> dict[str, Target]:
    with tempfile.TemporaryDirectory(prefix="sutazai-bench-") as folder:
        Path(folder).chmod(0o755)
        with Platform(Path(folder) / "home") as platform:
            environ = {"SUTAZAI_POSTGRES_URL": platform.postgres_url, "SUTAZAI_HOME": str(platform.home)}
            async with Ports(Settings.read(environ)) as ports, AsyncExitStack() as stack:
                place = Place(platform, ports)
                weight_kib = await _idle(place, stack, idle)
                print(f"{idle} idle sockets, {weight_kib:.1f} KiB of the gateway each")
                alone, beside, codes, changes = [], [], set(), 0
                # In turns, so that neighbours on the machine disturb both.
                for turn in range(_TURNS):
                    late_ms, _ = await _busy(place, f"all-read{turn}-", seconds, slow_reads=True)
                    also_ms, code = await _busy(place, f"one-does-not{turn}-", seconds, slow_reads=False)
                    alone.append(_p99(late_ms))
                    beside.append(_p99(also_ms))
                    codes.add(code)
                    changes += len(late_ms) + len(also_ms)
    p99, p99_beside = statistics.median(alone), statistics.median(beside)
    return {
        "KiB an idle socket": at_most(weight_kib, 64.0),
        "changes not told": exactly(_TURNS * 2 * 3 * int(seconds * _TASKS_A_SECOND) - changes, 0),
        "push p99, ms": at_most(p99, 250.0),
        "push p99 beside a slow reader, ms": at_most(p99_beside, 250.0),
        "p99 beside a slow reader over without": at_most(p99_beside / p99, 1.5),
        "close code of the slow readers": exactly(max(codes, key=lambda code: abs(code - 1013)), 1013),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=15.0)
    asked = parser.parse_args()
    return report("sockets", asyncio.run(_measure(asked.idle, asked.seconds)))


if __name__ == "__main__":
    sys.exit(main())
