"""An HTTP server that says what a test wants, byte by byte if need be."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

SSE = "text/event-stream"


@dataclass
class Asked:
    """One request, and the way to answer it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter
    left: asyncio.Event

    @property
    def message(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def answer(self, status: int, body: bytes = b"", content_type: str = "application/json", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"content-type: {content_type}", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join((*lines, "", "")).encode() + body)

    def result(self, result: object, **headers: str) -> None:
        message = {"jsonrpc": "2.0", "id": self.message["id"], "result": result}
        self.answer(200, json.dumps(message).encode(), **headers)

    def error(self, code: int, message: str, status: int = 200) -> None:
        error = {"code": code, "message": message}
        self.answer(status, json.dumps({"jsonrpc": "2.0", "id": self.message.get("id"), "error": error}).encode())

    def stream(self, **headers: str) -> None:
        """Begins a stream of events."""
        lines = ["HTTP/1.1 200 OK", f"content-type: {SSE}", "transfer-encoding: chunked"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join((*lines, "", "")).encode())

    def piece(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))

    def event(self, message: object) -> None:
        self.piece(b"event: message\r\ndata: %b\r\n\r\n" % json.dumps(message).encode())

    def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")


Script = Callable[[Asked], Coroutine[object, object, None]]


@dataclass
class Scripted:
    script: Script
    url: str = ""
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    _heard: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def has_heard(self, count: int) -> None:
        """Waits for so many requests in all."""
        async with self._heard:
            await self._heard.wait_for(lambda: len(self.asked) >= count)

    def said(self, name: str) -> list[str | None]:
        """A header of each request."""
        return [asked.headers.get(name) for asked in self.asked]

    @property
    def methods(self) -> list[str]:
        return [asked.message.get("method", "") if asked.body else asked.method for asked in self.asked]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        left = asyncio.Event()
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                first, *lines = head.split("\r\n")[:-2]
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, path, _ = first.split(" ")
                asked = Asked(method, path, headers, body, writer, left)
                self.asked.append(asked)
                async with self._heard:
                    self._heard.notify_all()
                work = asyncio.create_task(self.script(asked))
                gone = asyncio.create_task(reader.read(1)) if headers.get("accept", "").count(SSE) else None
                await asyncio.wait([task for task in (work, gone) if task], return_when=asyncio.FIRST_COMPLETED)
                if gone is not None and not gone.done():
                    gone.cancel()
                    await asyncio.gather(gone, return_exceptions=True)
                if not work.done():
                    left.set()
                    work.cancel()
                    await asyncio.gather(work, return_exceptions=True)
                    break
                work.result()
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            left.set()
        finally:
            writer.close()


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Scripted]:
    """On a port of loopback."""
    found = Scripted(script)
    server = await asyncio.start_server(found._serve, "127.0.0.1", 0, limit=1 << 26)
    host, found.port = server.sockets[0].getsockname()
    found.url = f"http://{host}:{found.port}/mcp"
    try:
        yield found
    finally:
        server.close()
