"""An internet without a network: names lead where a test says, and loopback plays public addresses."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from shared.config import Settings
from shared.errors import ToolError
from shared.stores.egress.addresses import Address
from shared.stores.egress.dialer import Dialer
from shared.stores.egress.gate import HttpEgress

# Addresses that the gate takes for the open internet; nothing is ever sent to them.
PUBLIC, PUBLIC_TOO, PUBLIC_V6 = "93.184.215.14", "151.101.1.69", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"


@dataclass
class Names:
    """A resolver. `known`: addresses by name, or what gives them anew for each query; `asked`: the queries."""

    known: dict[str, Sequence[str] | Callable[[], Sequence[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def resolve(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.known:
            raise ToolError(f"no host is named {host!r}; check the spelling of the URL")
        found = self.known[host]
        return found() if callable(found) else found


class _Posing(socket.socket):
    """Says that it is connected to another address."""

    posed: tuple[str, int]

    def getpeername(self) -> tuple[str, int]:
        return self.posed


@dataclass
class Wire(Dialer):
    """Every address lies on loopback: `played` by its port there, by address and port, all others at `elsewhere`."""

    played: dict[tuple[str, int], int] = field(default_factory=dict)
    elsewhere: int | None = None
    dialled: list[tuple[str, int]] = field(default_factory=list)

    async def connect(self, address: Address, port: int) -> socket.socket:
        peer = (str(address), port)
        self.dialled.append(peer)
        there = self.played.get(peer, self.elsewhere)
        if there is None:
            raise ConnectionRefusedError("nobody plays this address")
        posing = _Posing(socket.AF_INET, socket.SOCK_STREAM)
        posing.posed = peer
        posing.setblocking(False)
        await asyncio.get_running_loop().sock_connect(posing, ("127.0.0.1", there))
        return posing


Serve = Callable[[str, dict[str, str], bytes], bytes]


@dataclass
class Site:
    """An origin on loopback. `serve`: from the request's line, headers and body to the whole answer."""

    serve: Serve
    port: int = 0
    connections: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    serving: list["asyncio.Task[None] | None"] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.serving.append(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.requests.append((head[0], headers, body))
            writer.write(self.serve(head[0], headers, body))
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Site"]:
        server = await asyncio.start_server(self, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            async with server:
                yield self
        finally:
            await asyncio.gather(*filter(None, self.serving))
            self.serving.clear()


def answer(body: bytes | str = b"", *, status: int = 200, **headers: str) -> bytes:
    """An HTTP answer; `content_type` is the header Content-Type."""
    body = body.encode() if isinstance(body, str) else body
    fields = {"content_length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items()]
    return f"HTTP/1.1 {status} Status\r\n{''.join(lines)}\r\n".encode() + body


def gate(*peers: tuple[str, int], names: Names | None = None, wire: Dialer | None = None) -> HttpEgress:
    """The real one. `peers` is the allow list; without `names` no name leads anywhere."""
    nowhere = Path("/nonexistent")
    settings = Settings(home=nowhere, keys_dir=nowhere, files_dir=nowhere, egress_allow=frozenset(peers))
    return HttpEgress(settings=settings, resolver=names or Names(), dialer=wire or Dialer())
