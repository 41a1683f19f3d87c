"""From an ASGI request to a function's parameters, and from what it returns to an answer."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, get_args, get_origin

from shared.asgi import Answer, Request, success
from shared.errors import Invalid, SutazaiError
from shared.function import Call, Caller, Http, Page, Reply, Spec
from shared.ports.idempotency import Idempotency
from shared.streams import Stream
from shared.strict_json import dump, parse
from shared.wiring import Ports

if TYPE_CHECKING:
    # A function without a model starts without pydantic, and an open one without what checks tokens.
    from pydantic import BaseModel

    from shared.addresses import Networks
    from shared.gate import Gate
    from shared.meter import Meter

_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_JSON = ((b"content-type", b"application/json"),)


class Endpoint(Protocol):
    """What a route leads to."""

    @property
    def timeout_s(self) -> float: ...

    async def answer(self, request: Request, path: Mapping[str, str]) -> Answer: ...


class Opened(Protocol):
    """What has ports: they are open while one is inside."""

    def opened(self, ports: Ports) -> AbstractAsyncContextManager[None]: ...


def result_type(spec: Spec) -> Any:
    """What `data` is: the declared result, out of its Reply."""
    return get_args(spec.result)[0] if get_origin(spec.result) is Reply else spec.result


def _writer(result: Any) -> Callable[[Any], bytes]:
    if result in (Page, Stream, None, type(None)) or _is_plain(result):
        return dump
    from shared.payload import writer

    return writer(result)


def _is_plain(result: Any) -> bool:
    """Whether JSON can say it without a model's help."""
    if get_origin(result) in (dict, list):
        return all(map(_is_plain, get_args(result)))
    return result in (str, int, float, bool)


def _gate(http: Http) -> "Gate | None":
    if http.scope is None:
        return None
    from shared.gate import Gate

    return Gate(http.scope, limited=http.limited)


class HttpEndpoint:
    """One function with a route."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.timeout_s = spec.timeout_s
        self._http = spec.http
        self._write = _writer(result_type(spec))
        self._payload = spec.payload
        self._gate = _gate(spec.http)
        self._meter: Meter | None = None
        self._trusted: Networks = ()
        self._wants_call = [name for name, port in spec.ports.items() if port is Call]
        self._wants_caller = [name for name, port in spec.ports.items() if port is Caller]
        self._kept: Idempotency | None = None
        self._ports: dict[str, object] = {}

    @asynccontextmanager
    async def opened(self, ports: Ports) -> AsyncIterator[None]:
        self._ports = await ports.of(self.spec)
        self._trusted = ports.settings.trusted_proxies
        if self._gate is not None:
            await self._gate.open(ports)
            if self._http.keyed and self._http.method in _WRITES:
                self._kept = await ports.open(Idempotency)
        elif self._http.limited and ports.settings.limits_strangers:
            # What counts strangers is imported only where they are counted.
            from shared.meter import Meter

            self._meter = Meter()
            await self._meter.open(ports)
        yield

    async def answer(self, request: Request, path: Mapping[str, str]) -> Answer:
        if not self._http.oauth:
            return await self._counted(request, path)
        try:
            return await self._counted(request, path)
        except SutazaiError as error:
            from shared.oauth_wording import refusal

            return refusal(error)

    async def _counted(self, request: Request, path: Mapping[str, str]) -> Answer:
        request.trusted = self._trusted
        caller = None if self._gate is None else await self._gate.caller(request)
        if self._meter is not None:
            await self._meter.count(request, None)
        answer = await self._answer(request, path, caller)
        return replace(answer, headers=(*answer.headers, *request.quota)) if request.quota else answer

    async def _answer(self, request: Request, path: Mapping[str, str], caller: Caller | None) -> Answer:
        key = _idempotency_key(request)
        payload, body = await self._read(request, path)
        if self._kept is None or caller is None or key is None:
            return await self._run(payload, caller, request, key)
        digest = hashlib.sha256(b"\0".join((request.method.encode(), request.path.encode(), body))).digest()
        async with self._kept.once(caller.user_id, key, digest) as kept:
            if kept.answer is not None:
                return Answer(kept.answer[0], kept.answer[1], _JSON)
            answer = await self._run(payload, caller, request, key)
            kept.keep(answer.status, answer.body)
            return answer

    async def _read(self, request: Request, path: Mapping[str, str]) -> "tuple[BaseModel | None, bytes]":
        """The payload out of path, query and body, and the body as it was sent."""
        body = b"" if request.method in ("GET", "HEAD") else await request.body(self._http.body_limit_bytes)
        if self._http.form and self._payload is not None:
            from shared.payload import from_texts

            return from_texts(self._payload, request.fields(body)), body
        if self._http.upload and self._payload is not None:
            from shared.upload import uploaded

            return uploaded(self._payload, request.header(b"content-type") or "", body)
        if self._payload is None:
            if body and parse(body) not in ({}, None):
                raise Invalid("this takes no body")
            return None, body
        from shared.payload import from_body, from_texts

        if request.method in ("GET", "HEAD"):
            return from_texts(self._payload, {**request.parameters(), **path}), body
        return from_body(self._payload, body, path), body

    async def _run(
        self, payload: "BaseModel | None", caller: Caller | None, request: Request, key: str | None
    ) -> Answer:
        given = dict(self._ports)
        for name in self._wants_call:
            given[name] = _call(request, key)
        for name in self._wants_caller:
            given[name] = caller
        handler = self.spec.handler
        result = await (handler(**given) if self._payload is None else handler(payload, **given))
        if isinstance(result, Page):
            return _page(result, self._http.status)
        if isinstance(result, Stream):
            headers = () if result.status == 204 else ((b"content-type", result.content_type.encode()),)
            return Answer(result.status, headers=headers, pieces=result.pieces)
        if not isinstance(result, Reply):
            return self._answered(result, self._http.status, request.request_id)
        status = result.status or self._http.status
        return self._answered(result.data, status, request.request_id, message=result.message, headers=result.headers)

    def _answered(
        self, result: Any, status: int, request_id: str, *, message: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> Answer:
        data = self._write(result)
        if not self._http.envelope:
            return Answer(status, data, _JSON)
        return success(request_id, data, status=status, message=message, headers=headers)


def _page(page: Page, status: int) -> Answer:
    headers = (("content-type", page.content_type), *page.headers)
    lowered = tuple((name.lower().encode(), value.encode()) for name, value in headers)
    return Answer(page.status or status, page.body, lowered)


def _idempotency_key(request: Request) -> str | None:
    key = request.header(b"idempotency-key")
    if key is not None and not (1 <= len(key) <= 128 and all("!" <= character <= "~" for character in key)):
        raise Invalid("an Idempotency-Key is 1 to 128 visible ASCII characters")
    return key


def _call(request: Request, idempotency_key: str | None) -> Call:
    return Call(
        request_id=request.request_id,
        address=request.address,
        user_agent=(request.header(b"user-agent") or "")[:200],
        idempotency_key=idempotency_key,
        wait_s=_preferred_wait(request.header(b"prefer")),
        last_event_id=request.header(b"last-event-id"),
        origin=request.header(b"origin"),
        scheme=request.scope.get("scheme", "http"),
        host=request.header(b"host") or "",
    )


def _preferred_wait(prefer: str | None) -> float | None:
    """RFC 7240: `wait=N` in seconds; what cannot be read is ignored."""
    for preference in (prefer or "").split(","):
        name, _, value = preference.partition("=")
        if name.strip().lower() == "wait" and value.strip().isdigit():
            return float(value.strip()[:6])
    return None
