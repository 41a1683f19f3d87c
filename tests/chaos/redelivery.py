"""`make chaos C=redelivery`: an agent's function is given each of its wake-ups one to five times at once, under load.

N: wake-ups. Nobody else works, so that all that is done is done by what they woke.
"""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpx

from shared.connector import WAKE_UP_S
from tests.chaos._cluster import Cluster, Shape
from tests.chaos._load import Load, under_load
from tests.chaos._seeds import Worst, asked, keep_worst
from tests.report import Target, at_least, exactly, report

_MOST = 5
_WITHIN_S = 90.0


class Copier:
    """Where the connector sends events: each is handed on one to five times at once, and answered as the first is."""

    def __init__(self, seed: int) -> None:
        self.port = 0
        self.target = ""
        self.events = 0
        self.copies = 0
        self.refused = 0
        self._dice = random.Random(seed)
        limits = httpx.Limits(max_connections=None)
        self._client = httpx.AsyncClient(trust_env=False, timeout=WAKE_UP_S, limits=limits)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/?{{name}}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                status = await self._hand_on(head.split(" ")[1], headers["content-type"], body)
                writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _hand_on(self, path: str, content_type: str, body: bytes) -> int:
        # The agent's own process starts beside the connector's.
        if not self.target:
            return 503
        self.events += 1
        times = self._dice.randint(1, _MOST)
        self.copies += times - 1
        headers = {"Content-Type": content_type}
        sent = (self._client.post(self.target + path, content=body, headers=headers) for _ in range(times))
        answers = await asyncio.gather(*sent)
        self.refused += sum(not answer.is_success for answer in answers)
        return answers[0].status_code

    async def close(self) -> None:
        await self._client.aclose()


@asynccontextmanager
async def copier(seed: int) -> AsyncIterator[Copier]:
    here = Copier(seed)
    server = await asyncio.start_server(here.serve, "127.0.0.1", 0)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()
        await here.close()


async def faults(here: Cluster, load: Load, *, between: Copier, count: int) -> dict[str, Target]:
    between.target = here.agent
    until = time.monotonic() + _WITHIN_S
    while between.events < count and time.monotonic() < until:
        await asyncio.sleep(0.05)
    return {"wake-ups": at_least(between.events, count), "copies of them": at_least(between.copies, count)}


async def _answered(here: Cluster, load: Load, *, between: Copier) -> dict[str, Target]:
    print(f"{between.events} wake-ups and {between.copies} copies of them")
    return {"copies that were refused": exactly(between.refused, 0)}


async def redelivery(seed: int, count: int) -> dict[str, Target]:
    async with copier(seed) as between:
        shape = Shape(workers=0, only={"connector": {"SUTAZAI_FUNCTION_URL": between.url}})
        play = partial(faults, between=between, count=count)
        return await under_load(shape, play, afterwards=partial(_answered, between=between))


def main() -> int:
    given = asked(__doc__, tasks=300, seeds=2, minutes=4)
    worst: Worst = {}
    for seed in given.turns():
        keep_worst(worst, asyncio.run(redelivery(seed, given.tasks)))
    return report("chaos-redelivery", worst)


if __name__ == "__main__":
    sys.exit(main())
