"""The proxy that breaks links must break what it is told to, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.chaos._proxy import Proxy, proxy

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Call = Callable[[], Awaitable[Wire]]
_SOON_S = 0.3


@asynccontextmanager
async def echoing() -> AsyncIterator[Proxy]:
    """A proxy before a server that says everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while said := await reader.read(65_536):
                writer.write(said)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, proxy(server.sockets[0].getsockname()[1]) as here:
        yield here


@asynccontextmanager
async def calling(here: Proxy) -> AsyncIterator[Call]:
    """Connections through the proxy, which end with the block."""
    writers: list[asyncio.StreamWriter] = []

    async def call() -> Wire:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        writers.append(writer)
        return reader, writer

    try:
        yield call
    finally:
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


def play(scenario: Callable[[Proxy, Call], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30), echoing() as here, calling(here) as call:
            await scenario(here, call)

    asyncio.run(bounded())


async def said_back(wire: Wire, said: bytes) -> bytes:
    wire[1].write(said)
    return await wire[0].readexactly(len(said))


async def is_silent(wire: Wire) -> bool:
    try:
        async with asyncio.timeout(_SOON_S):
            await wire[0].read(1)
    except TimeoutError:
        return True
    return False


async def is_over(wire: Wire) -> bool:
    try:
        return await wire[0].read() == b""
    except ConnectionResetError:
        return True


def test_what_is_said_arrives_whole_and_in_order() -> None:
    async def scenario(here: Proxy, call: Call) -> None:
        wire = await call()
        said = bytes(range(256)) * 4000
        assert await said_back(wire, said) == said
        assert here.passed_bytes == 2 * len(said)

    play(scenario)


def test_a_hole_swallows_what_is_said_and_the_connection_ends_once_it_is_mended() -> None:
    async def scenario(here: Proxy, call: Call) -> None:
        wire = await call()
        assert await said_back(wire, b"one") == b"one"
        here.hole = True
        wire[1].write(b"two")
        assert await is_silent(wire)
        late = await call()
        late[1].write(b"three")
        assert await is_silent(late)
        here.heal()
        assert [await is_over(wire), await is_over(late)] == [True, True]
        assert await said_back(await call(), b"four") == b"four"

    play(scenario)


def test_who_is_refused_is_told_at_once() -> None:
    async def scenario(here: Proxy, call: Call) -> None:
        here.refuse = True
        assert await is_over(await call())
        here.heal()
        assert await said_back(await call(), b"hello") == b"hello"

    play(scenario)


def test_a_reset_ends_every_connection_and_no_later_one() -> None:
    async def scenario(here: Proxy, call: Call) -> None:
        wires = [await call() for _ in range(3)]
        for wire in wires:
            await said_back(wire, b"hello")
        here.reset()
        assert [await is_over(wire) for wire in wires] == [True, True, True]
        assert await said_back(await call(), b"again") == b"again"

    play(scenario)


def test_a_connection_is_cut_after_so_many_bytes_of_the_server() -> None:
    async def scenario(here: Proxy, call: Call) -> None:
        here.reset_after = 10
        wire = await call()
        assert await said_back(wire, b"0123456789") == b"0123456789"
        wire[1].write(b"more")
        assert await is_over(wire)

    play(scenario)


def test_a_piece_that_is_cut_at_never_arrives_and_ends_its_connection_alone() -> None:
    async def scenario(here: Proxy, call: Call) -> None:
        wire, other = await call(), await call()
        here.cut_at = lambda piece: b"confirm" in piece
        assert await said_back(wire, b"publish") == b"publish"
        wire[1].write(b"confirm")
        assert await is_over(wire)
        assert here.met == 1
        here.heal()
        assert await said_back(other, b"confirm") == b"confirm"

    play(scenario)


def test_what_a_fault_has_befallen_is_counted_while_it_lasts() -> None:
    async def scenario(here: Proxy, call: Call) -> None:
        wire = await call()
        assert await said_back(wire, b"well") == b"well"
        assert here.met == 0
        here.refuse = True
        assert await is_over(await call())
        here.reset()
        assert await is_over(wire)
        # One was refused; the other was a connection on each side.
        assert here.met == 3

    play(scenario)


@pytest.mark.parametrize("slowed", [{"delay_s": 0.2}, {"bytes_per_s": 100}])
def test_a_slow_link_takes_its_time_and_loses_nothing(slowed: dict[str, float]) -> None:
    async def scenario(here: Proxy, call: Call) -> None:
        for name, value in slowed.items():
            setattr(here, name, value)
        wire, clock = await call(), asyncio.get_running_loop().time
        began = clock()
        assert await said_back(wire, b"x" * 20) == b"x" * 20
        assert clock() - began >= 0.35

    play(scenario)


def test_a_server_that_is_away_ends_the_connection() -> None:
    async def scenario() -> None:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        async with asyncio.timeout(10), proxy(port) as here, calling(here) as call:
            assert await is_over(await call())

    asyncio.run(scenario())
