"""A server of embeddings on loopback, which fails as it is told to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from shared.stores.embedders.hashed import Hashed
from shared.stores.embedders.openai import OpenAi
from tests.internet import Site, answer, gate

MODEL, KEY, DIMENSION = "text-embedding-of-ours", "sk-planted-7d1f", 384

Json = dict[str, Any]
# From what is asked, and the right answer to it, to the bytes that are sent.
Fault = Callable[[Json, Json], bytes]


@dataclass
class OpenAiServer:
    """`faults`: one for each of the next requests. `refuses`: texts that it takes no batch with."""

    faults: list[Fault] = field(default_factory=list)
    refuses: frozenset[str] = frozenset()
    asked: list[Json] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    now: float = 0.0
    _model: Hashed = field(default_factory=Hashed)

    async def right(self, asked: Json) -> Json:
        vectors = (await self._model.embed(asked["input"])) * 3
        data = [{"object": "embedding", "index": n, "embedding": row.tolist()} for n, row in enumerate(vectors)]
        return {"object": "list", "data": data, "model": asked["model"], "usage": {"total_tokens": 1}}

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[OpenAi]:
        """A client of it, whose clock goes only when it sleeps."""
        site = _Site(lambda *_: b"", server=self)
        async with site.listening():
            model = OpenAi(
                url=f"http://127.0.0.1:{site.port}/v1",
                key=KEY,
                model=MODEL,
                dimension=DIMENSION,
                egress=gate(("127.0.0.1", site.port)),
                sleep=self.sleep,
                clock=lambda: self.now,
            )
            try:
                yield model
            finally:
                await model.close()


@dataclass
class _Site(Site):
    server: OpenAiServer = field(default_factory=OpenAiServer)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])}
        asked = json.loads(await reader.readexactly(int(headers["content-length"])))
        assert head.startswith("POST /v1/embeddings HTTP/1.1\r\n")
        server = self.server
        server.asked.append(asked)
        server.keys.append(headers["authorization"])
        if refused := server.refuses & set(asked["input"]):
            sent = answer(json.dumps({"error": {"message": f"{len(refused)} refused"}}), status=400)
        else:
            right = await server.right(asked)
            fault = server.faults.pop(0) if server.faults else well
            sent = fault(asked, right)
        writer.write(sent)
        if sent:
            await writer.drain()
        else:
            # Until the other side has had enough.
            await reader.read()
        writer.close()


def well(asked: Json, right: Json) -> bytes:
    return answer(json.dumps(right), content_type="application/json")


def status(code: int, **headers: str) -> Fault:
    return lambda asked, right: answer('{"error": {}}', status=code, **headers)


def silent(asked: Json, right: Json) -> bytes:
    return b""


def cut(asked: Json, right: Json) -> bytes:
    return well(asked, right)[:-1000]


def cut_in_its_json(asked: Json, right: Json) -> bytes:
    return answer(json.dumps(right)[:-1000])


def gone(asked: Json, right: Json) -> bytes:
    return b"HTTP/1.1 200"


def changed(change: Callable[[list[Json]], object]) -> Fault:
    """`change` gets the list of embeddings, and changes it."""

    def fault(asked: Json, right: Json) -> bytes:
        change(right["data"])
        return well(asked, right)

    return fault
