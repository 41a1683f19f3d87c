"""A client that does not read costs a bounded amount, and nobody else anything."""

import asyncio
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import shared.sockets
from shared.asgi import Disconnected
from shared.config import Settings
from shared.sockets import SocketConnection
from shared.streams import Closed, Connection
from tests.realtime.served import House, Person, Socket, at_home


@asynccontextmanager
async def _slow(house: House, person: Person) -> AsyncIterator[Socket]:
    """It has room for little, and reads nothing by itself."""
    wire = sockets.socket()
    wire.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    wire.setblocking(False)
    await asyncio.get_running_loop().sock_connect(wire, ("127.0.0.1", house.port))
    async with house.socket(person, sock=wire, max_queue=1) as socket:
        yield socket


def test_a_reader_that_is_too_slow_is_dropped_and_others_are_told_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared.sockets, "MOST_WAITING", 300)

    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        async with _slow(house, ada) as slow, house.socket(ada) as quick:
            for socket in (slow, quick):
                await socket.ask(type="subscribe", channels=["task_status"])
            count = 1500
            reading = asyncio.create_task(_ends(quick, count))
            await house.run(ada, count)
            assert await reading == count
            assert await slow.closed() == (1013, "the reader is too slow")
            assert await quick.ask(type="ping") == {"type": "pong"}

    at_home(settings, scenario, within_s=120)


async def _ends(socket: Socket, count: int) -> int:
    seen = 0
    while seen < count:
        seen += (await socket.next())["status"] == "succeeded"
    return seen


class _Wire:
    """A client that takes `room` frames, then none until it is told to."""

    def __init__(self, room: int) -> None:
        self.taken: list[dict[str, object]] = []
        self._room = room
        self.reads = asyncio.Event()

    async def send(self, message: dict[str, object]) -> None:
        if len(self.taken) >= self._room and message["type"] != "websocket.close":
            await self.reads.wait()
        self.taken.append(message)

    async def receive(self) -> dict[str, object]:
        await asyncio.Event().wait()
        raise AssertionError


def _played(wire: _Wire, work: object) -> None:
    async def play() -> None:
        async with asyncio.timeout(10):
            await SocketConnection(wire.receive, wire.send).run(work)  # type: ignore[arg-type]

    asyncio.run(play())


def test_too_many_bytes_are_too_many() -> None:
    wire = _Wire(1)

    async def work(connection: Connection) -> None:
        for _ in range(40):
            connection.push("x" * 30_000)
        await connection.receive()

    _played(wire, work)
    assert [message.get("code") for message in wire.taken] == [1013]


def test_what_was_asked_for_waits_until_there_is_room() -> None:
    wire = _Wire(3)

    async def stuck(connection: Connection) -> None:
        await asyncio.gather(_later(wire), _all(connection))
        raise Closed(4401, "that was all")

    _played(wire, stuck)
    *frames, close = wire.taken
    assert [frame["text"] for frame in frames] == [str(number) for number in range(500)]
    assert (close["code"], close["reason"]) == (4401, "that was all")


async def _later(wire: _Wire) -> None:
    await asyncio.sleep(0.05)
    wire.reads.set()


async def _all(connection: Connection) -> None:
    for number in range(500):
        await connection.send(str(number))


def test_a_client_that_takes_nothing_any_more_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared.sockets, "STALLED_S", 0.1)
    wire = _Wire(1)

    async def work(connection: Connection) -> None:
        await _all(connection)

    _played(wire, work)
    assert [message.get("code") for message in wire.taken] == [None, 1013]


def test_what_was_said_before_a_close_is_read_before_it() -> None:
    wire = _Wire(1000)

    async def work(connection: Connection) -> None:
        connection.push("the last word")
        connection.close(4401, "out")
        await connection.receive()

    _played(wire, work)
    assert [message.get("text", message.get("code")) for message in wire.taken] == ["the last word", 4401]


def test_a_close_that_comes_while_the_handler_returns_is_sent_once() -> None:
    wire = _Wire(1000)

    async def work(connection: Connection) -> None:
        connection.close(4401, "out")
        raise Disconnected

    _played(wire, work)
    assert [message.get("code") for message in wire.taken] == [4401]


def test_a_frame_too_many_a_second_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared.sockets, "_BURST", 5.0)
    monkeypatch.setattr(shared.sockets, "_PACE", 50.0)
    wire = _Wire(1000)
    taken = 0

    async def receive() -> dict[str, object]:
        return {"type": "websocket.receive", "text": "x"}

    async def work(connection: Connection) -> None:
        nonlocal taken
        ends = asyncio.get_running_loop().time() + 0.5
        while asyncio.get_running_loop().time() < ends:
            await connection.receive()
            taken += 1

    wire.receive = receive  # type: ignore[method-assign]
    _played(wire, work)
    assert 5 < taken <= 5 + 0.6 * 50
