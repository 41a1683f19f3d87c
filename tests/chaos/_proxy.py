"""A TCP proxy on loopback that can be told to misbehave, for one link between two processes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_PIECE_BYTES = 16 * 1024
_TICK_S = 0.05


@dataclass
class Proxy:
    """What holds from now on, for connections that exist as for new ones.

    `hole`: bytes vanish and nobody is told, new connections are taken and never answered. `delay_s` before each piece.
    `bytes_per_s` in each direction. `reset_after`: so many bytes from the server, then the connection is reset.
    `cut_at`: a piece from the server that it holds for is kept, and its connection reset.
    `met`: how many pieces, or connections, any of this has befallen.
    """

    host: str
    target: int
    port: int = 0
    hole: bool = False
    refuse: bool = False
    delay_s: float = 0.0
    bytes_per_s: int | None = None
    reset_after: int | None = None
    cut_at: Callable[[bytes], bool] | None = None
    met: int = 0
    passed_bytes: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _moved: set["asyncio.Task[None]"] = field(default_factory=set)

    def heal(self) -> None:
        self.hole = self.refuse = False
        self.delay_s, self.bytes_per_s, self.reset_after, self.cut_at = 0.0, None, None, None

    def reset(self) -> None:
        """Every connection, at once."""
        self.met += len(self._open)
        for writer in list(self._open):
            _abort(writer)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._moved.add(task)
        try:
            await self._connect(reader, writer)
        except asyncio.CancelledError:
            # By `close` alone; the server that started this would take it for a failure.
            pass
        finally:
            self._moved.discard(task)
            _abort(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            self.met += 1
            return
        try:
            there_reader, there = await asyncio.open_connection(self.host, self.target)
        except OSError:
            return
        self._open |= {writer, there}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._move(reader, there, counted=False))
                group.create_task(self._move(there_reader, writer, counted=True))
        except* (OSError, _Over):
            pass
        finally:
            self._open -= {writer, there}
            _abort(there)

    async def _move(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        """Pieces go whole or not at all; the end of one direction is the end of both."""
        moved = 0
        while piece := await reader.read(_PIECE_BYTES):
            self.met += bool(self.hole or self.delay_s or self.bytes_per_s)
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if self.hole:
                # A cut link says nothing when it is mended either: what was under way is gone, and so is the rest.
                await self._until_healed()
                raise _Over
            if self.bytes_per_s:
                await asyncio.sleep(len(piece) / self.bytes_per_s)
            moved += len(piece)
            if counted and self._is_cut(piece, moved):
                self.met += 1
                raise _Over
            self.passed_bytes += len(piece)
            writer.write(piece)
            await writer.drain()
        raise _Over

    def _is_cut(self, piece: bytes, moved: int) -> bool:
        if self.reset_after is not None and moved > self.reset_after:
            return True
        return self.cut_at is not None and self.cut_at(piece)

    async def _until_healed(self) -> None:
        while self.hole:
            await asyncio.sleep(_TICK_S)

    async def close(self) -> None:
        for task in list(self._moved):
            task.cancel()
        await asyncio.gather(*self._moved, return_exceptions=True)


class _Over(Exception):
    """One end of the connection has gone."""


def _abort(writer: asyncio.StreamWriter) -> None:
    # A reset, as a peer that has vanished sends it, and no orderly end.
    with suppress(RuntimeError):
        writer.transport.abort()


@asynccontextmanager
async def proxy(target: int, host: str = "127.0.0.1") -> AsyncIterator[Proxy]:
    here = Proxy(host, target)
    server = await asyncio.start_server(here.serve, "127.0.0.1", 0)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()
        await here.close()
