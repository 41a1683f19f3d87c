"""A web of one origin, and a way to call the actions on it as a task would."""

import asyncio
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest

from shared.function import spec_of
from tests.agents.http_fetch.pages import KeptPages
from tests.fakes import ADA, FakeRun
from tests.internet import PUBLIC, PUBLIC_TOO, Names, Site, Wire, answer, gate

Answers = dict[str, bytes]


@dataclass
class Web:
    """`answers`: by path, for both origins. `asked`: what was requested, with its headers."""

    answers: Answers = field(default_factory=dict)
    pages: KeptPages = field(default_factory=KeptPages)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def put(self, path: str, body: bytes | str = b"", *, status: int = 200, **headers: str) -> None:
        self.answers[path] = answer(body, status=status, **headers)

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def _serve(self, line: str, headers: dict[str, str], _body: bytes) -> bytes:
        path = line.split(" ")[1]
        self.asked.append((path, headers))
        if path not in self.answers:
            return answer("nothing here", status=404, content_type="text/plain")
        served = self.answers[path]
        etag = next((part[6:] for part in served.split(b"\r\n") if part.lower().startswith(b"etag: ")), None)
        if etag and headers.get("if-none-match", "").encode() == etag:
            return b"HTTP/1.1 304 Not Modified\r\nETag: " + etag + b"\r\nCache-Control: max-age=60\r\n\r\n"
        return served

    def call(self, tool: str, url: str = "http://one.example/", *, user_id: UUID = ADA, **arguments: Any) -> Any:
        """The one block of the answer; raises what the action raises."""
        handler = getattr(import_module(f"functions.agents.http_fetch.{tool}"), tool)
        payload = spec_of(handler).payload
        assert payload is not None
        request = payload.model_validate({"url": url, **arguments})

        async def scenario() -> Any:
            site = Site(self._serve)
            async with site.listening(), asyncio.timeout(30):
                wire = Wire({(PUBLIC, 80): site.port, (PUBLIC_TOO, 80): site.port})
                async with gate(
                    names=Names({"one.example": [PUBLIC], "two.example": [PUBLIC_TOO]}), wire=wire
                ) as egress:
                    return await handler(request, run=FakeRun(user_id=user_id), egress=egress, pages=self.pages)

        said = asyncio.run(scenario()).model_dump(mode="json", by_alias=True, exclude_none=True)
        (block,) = said["content"]
        return block

    def text(self, tool: str, url: str = "http://one.example/", **arguments: Any) -> str:
        return str(self.call(tool, url, **arguments)["text"])


@pytest.fixture
def web() -> Web:
    return Web()
