"""A receiver on loopback of what the platform sends to addresses that users gave."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HANG, CUT = b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal"


def answer(status: int, *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status} Whatever", "Content-Length: 2", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\nok"


@dataclass(frozen=True)
class Received:
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def verify(self, keys: Sequence[Mapping[str, str]]) -> None:
        """As a receiver that knows nothing but the published keys. Raises InvalidSignature."""
        [x] = [key["x"] for key in keys if key["kid"] == self.headers["webhook-key-id"]]
        scheme, _, signature = self.headers["webhook-signature"].partition(",")
        assert scheme == "v1a"
        public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(x + "="))
        signed = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        public.verify(base64.b64decode(signature, validate=True), signed)


@dataclass
class Receiver:
    """Answers `answers` in turn, then 200. While `may_answer` is not set it only listens."""

    answers: list[bytes] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    port: int = 0
    at_once: int = 0
    most_at_once: int = 0
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def got(self, count: int) -> None:
        """Returns once so many requests are here in all."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.received) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await self._serve(reader, writer)
            finally:
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        turn = len(self.received)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        async with self._arrived:
            self.received.append(Received(first.split(" ")[1], headers, body))
            self._arrived.notify_all()
        await self.may_answer.wait()
        said = self.answers[turn] if turn < len(self.answers) else answer(200)
        if said == HANG:
            await reader.read()
        self.at_once -= 1
        writer.write(said)
        await writer.drain()


@asynccontextmanager
async def receiving(*answers: bytes, silent: bool = False) -> AsyncIterator[Receiver]:
    here = Receiver([*answers])
    if not silent:
        here.may_answer.set()
    server = await asyncio.start_server(here.serve, "127.0.0.1", 0)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        here.may_answer.set()
        server.close()
        await server.wait_closed()
