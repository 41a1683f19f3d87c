"""From an ASGI request to a function's parameters, and from what it returns to an answer."""

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from shared import cloud_events
from shared.asgi import Answer, Request, success
from shared.consumer import Consumer
from shared.errors import Invalid
from shared.function import MIB, Call, Caller, Page, Reply, Spec
from shared.identity import authenticate, authorize
from shared.ports.idempotency import Idempotency
from shared.ports.sessions import Sessions
from shared.ports.tokens import Tokens
from shared.strict_json import dump, fields, parse
from shared.wiring import Ports

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


def invalid(error: ValidationError) -> Invalid:
    places = list(fields(error.errors(include_url=False, include_context=False, include_input=False)))  # type: ignore[arg-type]
    return Invalid("the request is not as declared", fields=places)


async def authenticated(request: Request, scope: str, *, tokens: Tokens, sessions: Sessions) -> Caller:
    """Raises Unauthorized, and Forbidden where the caller's roles do not give the scope."""
    caller = await authenticate(request.header(b"authorization"), tokens=tokens, sessions=sessions)
    authorize(caller, scope)
    return caller


def result_type(spec: Spec) -> Any:
    """What `data` is: the declared result, out of its Reply."""
    return get_args(spec.result)[0] if get_origin(spec.result) is Reply else spec.result


class HttpEndpoint:
    """One function with a route."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.timeout_s = spec.timeout_s
        self._http = spec.http
        result = result_type(spec)
        self._result = None if result in (Page, None) else TypeAdapter(result)
        self._payload = spec.payload
        self._wants_call = [name for name, port in spec.ports.items() if port is Call]
        self._wants_caller = [name for name, port in spec.ports.items() if port is Caller]
        self._tokens: Tokens | None = None
        self._sessions: Sessions | None = None
        self._kept: Idempotency | None = None
        self._ports: dict[str, object] = {}

    @asynccontextmanager
    async def opened(self, ports: Ports) -> AsyncIterator[None]:
        self._ports = await ports.of(self.spec)
        if self._http.scope is not None:
            self._tokens = await ports.open(Tokens)
            self._sessions = await ports.open(Sessions)
            if self._http.keyed and self._http.method in _WRITES:
                self._kept = await ports.open(Idempotency)
        yield

    async def answer(self, request: Request, path: Mapping[str, str]) -> Answer:
        caller = await self._caller(request)
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

    async def _caller(self, request: Request) -> Caller | None:
        if self._http.scope is None:
            return None
        assert self._tokens and self._sessions
        return await authenticated(request, self._http.scope, tokens=self._tokens, sessions=self._sessions)

    async def _read(self, request: Request, path: Mapping[str, str]) -> tuple[BaseModel | None, bytes]:
        """The payload out of path, query and body, and the body as it was sent."""
        body = b"" if request.method in ("GET", "HEAD") else await request.body(self._http.body_limit_bytes)
        if self._payload is None:
            if body and parse(body) not in ({}, None):
                raise Invalid("this takes no body")
            return None, body
        try:
            if request.method in ("GET", "HEAD"):
                return self._payload.model_validate_strings({**request.parameters(), **path}, strict=False), body
            parsed = parse(body) if body else {}
            if not isinstance(parsed, dict):
                raise Invalid("the body is not a JSON object")
            if twice := path.keys() & parsed.keys():
                raise Invalid(f"{sorted(twice)} belong into the path only")
            # Only the JSON mode of strict models takes text for an UUID or a time and nothing else for the rest.
            whole = dump({**parsed, **path}) if path or not body else body
            return self._payload.model_validate_json(whole), body
        except ValidationError as error:
            raise invalid(error) from None

    async def _run(self, payload: BaseModel | None, caller: Caller | None, request: Request, key: str | None) -> Answer:
        given = dict(self._ports)
        for name in self._wants_call:
            given[name] = _call(request, key)
        for name in self._wants_caller:
            given[name] = caller
        handler = self.spec.handler
        result = await (handler(**given) if self._payload is None else handler(payload, **given))
        if isinstance(result, Page):
            return Answer(self._http.status, result.body, ((b"content-type", result.content_type.encode()),))
        if not isinstance(result, Reply):
            return self._answered(result, self._http.status, request.request_id)
        status = result.status or self._http.status
        return self._answered(result.data, status, request.request_id, message=result.message, headers=result.headers)

    def _answered(
        self, result: Any, status: int, request_id: str, *, message: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> Answer:
        data = b"null" if self._result is None else self._result.dump_json(result, by_alias=True)
        if not self._http.envelope:
            return Answer(status, data, _JSON)
        return success(request_id, data, status=status, message=message, headers=headers)


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
        method=request.method,
        path=request.path,
    )


def _preferred_wait(prefer: str | None) -> float | None:
    """RFC 7240: `wait=N` in seconds; what cannot be read is ignored."""
    for preference in (prefer or "").split(","):
        name, _, value = preference.partition("=")
        if name.strip().lower() == "wait" and value.strip().isdigit():
            return float(value.strip()[:6])
    return None


class EventEndpoint:
    """Consumers of domain events, by type. Done, or refused for good, is 204; only Unavailable (503) asks again."""

    timeout_s: float

    def __init__(self, specs: Iterable[Spec]) -> None:
        self._consumers = {consumer.type: consumer for consumer in map(Consumer, specs)}
        self.timeout_s = max(consumer.spec.timeout_s for consumer in self._consumers.values())

    @asynccontextmanager
    async def opened(self, ports: Ports) -> AsyncIterator[None]:
        for consumer in self._consumers.values():
            await consumer.open(ports)
        yield

    async def answer(self, request: Request, path: Mapping[str, str]) -> Answer:
        event = cloud_events.decode(request.headers, await request.body(MIB))
        if consumer := self._consumers.get(event.type):
            await consumer.handle(event)
        # An event nobody here knows would be sent again for ever if it were refused.
        return Answer(204)
