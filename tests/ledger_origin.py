"""An origin on loopback that counts what the ledger tool calls from outside the product."""

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field


@dataclass
class Origin:
    """`keys`: by execution, the idempotency keys that its calls came with. While `away`, it hangs up on everybody."""

    port: int = 0
    away: bool = False
    keys: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/effect"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                if self.away:
                    raise ConnectionError("away")
                headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                body = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))))
                self.keys[body["execution_id"]].add(headers["idempotency-key"])
                self.calls[body["execution_id"]] += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def origin() -> AsyncIterator[Origin]:
    here = Origin()
    server = await asyncio.start_server(here.serve, "127.0.0.1", 0)
    here.port = server.sockets[0].getsockname()[1]
    async with server:
        yield here


@contextmanager
def origin_in_thread() -> Iterator[Origin]:
    """For tests that block: a stranger's server goes on meanwhile."""
    loop, here = asyncio.new_event_loop(), origin()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(here.__aenter__(), loop).result(10)
        asyncio.run_coroutine_threadsafe(here.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
