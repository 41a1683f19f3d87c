"""The vector service's own requests, each signed: never a user's, and never routed from outside."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from shared.asgi import Answer, Disconnected, Receive, Request, Scope, Send, error_headers, send_answer
from shared.backlog import Backlog
from shared.deadline import Deadline
from shared.errors import NotFound, SutazaiError, TimedOut, Unauthorized
from shared.strict_json import dump
from shared.vectors.serving import protocol
from shared.vectors.serving.desk import Desk
from shared.vectors.serving.protocol import MOST_BYTES
from shared.vectors.serving.signing import HEADER, Signer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from shared.strict_json import Json

logger = logging.getLogger("sutazai.vectors")

_RAW: Final = ((b"content-type", b"application/octet-stream"),)
_JSON: Final = ((b"content-type", b"application/json"),)
_PATIENCE_S: Final = 60.0
_SWEEP_S: Final = 300.0
# Queries that would wait for longer are sent away.
_WAIT_S: Final = 0.5


class Endpoints:
    """An ASGI application."""

    def __init__(self, desk: Desk, signer: Signer) -> None:
        self._desk = desk
        self._signer = signer
        # Requests that have come and are not answered.
        self.waiting = 0
        self._queries = Backlog("queries", most_s=_WAIT_S)
        self._routes: Mapping[str, Callable[[bytes], Awaitable[bytes]]] = {
            "/search": self._search,
            "/embed": self._embed,
            "/models": self._models,
            "/engines": self._engines,
            "/sweep": self._sweep,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.waiting += 1
        try:
            await self._serve(request, send)
        finally:
            self.waiting -= 1

    async def _serve(self, request: Request, send: Send) -> None:
        try:
            with Deadline(_SWEEP_S if request.path == "/sweep" else _PATIENCE_S):
                answer = await self._answered(request)
        except Disconnected:
            return
        except SutazaiError as error:
            answer = _failure(error)
        except TimeoutError:
            answer = _failure(TimedOut("the vector service took too long"))
        except Exception:
            logger.exception("%s failed (request %s)", request.path, request.request_id)
            answer = _failure(SutazaiError("something went wrong in the vector service"))
        await send_answer(send, answer, request.request_id)

    async def _answered(self, request: Request) -> Answer:
        request.check_headers()
        respond = self._routes.get(request.path)
        if respond is None or request.method != "POST":
            raise NotFound("the vector service has nothing there")
        if (signature := request.headers.get(HEADER)) is None:
            # Before anything is read of whoever has no business here.
            raise Unauthorized("the request is not signed")
        body = await request.body(MOST_BYTES)
        self._signer.verify(signature, request.path, body)
        return Answer(200, await respond(body), _RAW if request.path in ("/search", "/embed") else _JSON)

    async def _search(self, body: bytes) -> bytes:
        asked = protocol.read_searches(body)
        with self._queries.entered(len(asked.vectors if asked.texts is None else asked.texts)):
            return protocol.write_answered(await self._desk.search(asked))

    async def _embed(self, body: bytes) -> bytes:
        asked = protocol.read_embed(body)
        return protocol.write_embedded(await self._desk.embed(asked.texts, model=asked.model, kind=asked.kind))

    async def _models(self, _: bytes) -> bytes:
        return _listed(self._desk.models())

    async def _engines(self, _: bytes) -> bytes:
        return _listed(await self._desk.engines())

    async def _sweep(self, _: bytes) -> bytes:
        return _listed(await self._desk.sweep())


def _listed(models: "Sequence[BaseModel]") -> bytes:
    return dump([model.model_dump() for model in models])


def _failure(error: SutazaiError) -> Answer:
    details = {name: value for name, value in error.details.items() if isinstance(value, str | int | float | list)}
    said: Json = {"code": error.code, "message": error.message, "details": details}  # type: ignore[dict-item]
    return Answer(error.status, dump(said), (*_JSON, *error_headers(error)))
