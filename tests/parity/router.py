"""What stands before deployables in tests: from a path to a process and nothing else, started when it is first asked.

`/function/<name>` leads to the consumer or the agent of that name, as a gateway of functions has it.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager, suppress

from shared.catalog import served_as
from shared.errors import MethodNotAllowed
from shared.function import Http, Spec, Tool
from shared.manifests.deployables import Deployable
from shared.routing import Routes
from tests.deploy.alone import Alone

_PIECE_BYTES = 64 * 1024
_LINGER_S = 2.0

# Makes a process that is not started yet.
Start = Callable[[Deployable], Alone]


class Router:
    """`tools`: those of an agent that are asked for, so where its actions are deployed one by one, no others start."""

    def __init__(self, listed: Iterable[Deployable], start: Start, *, tools: Collection[str]) -> None:
        self._start = start
        self._listed = {each.name: each for each in listed}
        self._started: dict[str, asyncio.Task[Alone]] = {}
        self._routes: Routes[str] = Routes()
        self._paths: Routes[str] = Routes()
        self._actions: dict[str, dict[str, str]] = {}
        for name in self._listed:
            for spec in () if name == "ui" else served_as(name):
                self._route(name, spec)
        self._woken: dict[str, list[str]] = {}
        idle = {name for actions in self._actions.values() for tool, name in actions.items() if tool not in tools}
        for each in self._listed.values():
            for wakes in each.subscriptions:
                if wakes.agent is not None and each.name not in idle:
                    self._woken.setdefault(wakes.agent, []).append(each.name)

    def _route(self, name: str, spec: Spec) -> None:
        match spec.trigger:
            case Http(method=method, path=path):
                self._routes.add(method, path, name)
                with suppress(ValueError):
                    self._paths.add("ANY", path, name)
            case Tool(name=tool) if name == spec.deployed:
                self._actions.setdefault(spec.agent, {})[tool] = name

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Its origin; in the end whatever was started has drained in order."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for task in self._started.values():
                with suppress(Exception):
                    await (await task).__aexit__(None, None, None)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            method, path = head.split(b" ", 2)[:2]
            if path.startswith(b"/function/"):
                await self._call(path.decode().removeprefix("/function/"), head, reader, writer)
            else:
                it = await self.process(self._target(method.decode(), path.decode("latin-1"), head))
                await _exchange(it.port, _last(head), reader, writer)
        writer.close()

    async def _call(self, name: str, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """An event, to everybody who is woken by it; the worst answer is the answer."""
        [length] = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        body = await reader.readexactly(length)
        [kind] = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-type:")]
        headers = {"content-type": kind.partition(b":")[2].strip().decode()}

        async def tell(each: str) -> int:
            async with (await self.process(each)).client() as client:
                return (await client.post("/", content=body, headers=headers, timeout=300)).status_code

        status = max(await asyncio.gather(*map(tell, self._woken.get(name, [name]))))
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()

    async def process(self, name: str) -> Alone:
        """Started by whoever wants it first; all others wait for that."""
        if name not in self._started:
            self._started[name] = asyncio.create_task(self._start(self._listed[name]).__aenter__())
        return await asyncio.shield(self._started[name])

    def _target(self, method: str, path: str, head: bytes) -> str:
        bare = path.partition("?")[0]
        if (agent := bare.removeprefix("/mcp/")) in self._listed:
            return agent
        if actions := self._actions.get(agent):
            # Nobody has them all: the tool's name is in a header for gateways.
            named = [line[9:].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"mcp-name:")]
            return actions[named[0].decode()]
        try:
            return self._routes.match("GET" if method == "HEAD" else method, bare)[0]
        except MethodNotAllowed:
            # Whoever has the path says itself that it does not serve the method.
            return self._paths.match("ANY", bare)[0]


def _last(head: bytes) -> bytes:
    """The request's head, as the last of its connection."""
    kept = [line for line in head.split(b"\r\n")[:-2] if not line.lower().startswith(b"connection:")]
    return b"\r\n".join((*kept, b"connection: close", b"", b""))


async def _exchange(port: int, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Both ways at once, until the process closes: it may answer, and close, before it has read all.

    On a plain socket, since a stream whose writing has failed gives up what there was to read.
    """
    loop = asyncio.get_running_loop()
    with socket.socket() as upstream:
        upstream.setblocking(False)
        await loop.sock_connect(upstream, ("127.0.0.1", port))
        await loop.sock_sendall(upstream, head)
        sending = asyncio.create_task(_send(reader, upstream))
        try:
            with suppress(ConnectionError):
                while piece := await loop.sock_recv(upstream, _PIECE_BYTES):
                    writer.write(piece)
                    await writer.drain()
            writer.write_eof()
            # Closing on a client that still sends would lose the answer on its way.
            with suppress(TimeoutError):
                async with asyncio.timeout(_LINGER_S):
                    await asyncio.shield(sending)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


async def _send(reader: asyncio.StreamReader, upstream: socket.socket) -> None:
    loop, gone = asyncio.get_running_loop(), False
    with suppress(ConnectionError):
        while piece := await reader.read(_PIECE_BYTES):
            if not gone:
                try:
                    await loop.sock_sendall(upstream, piece)
                except ConnectionError:
                    gone = True
