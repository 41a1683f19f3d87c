"""An MCP server at one path, in both eras: HTTP and JSON-RPC around a catalogue."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from shared.asgi import Answer, Disconnected, Request
from shared.crypto import mcp_key
from shared.errors import SutazaiError
from shared.function import MIB, Caller
from shared.mcp.agent_gate import AgentGate
from shared.mcp.handles import Handles, Session
from shared.mcp.headers import Doorway, check_types, legacy_version
from shared.mcp.methods import MODERN, SCOPE, WITH_HANDSHAKE
from shared.mcp.resuming import Resumables, place_of
from shared.mcp.server import Catalogue, Exchange, Result
from shared.mcp.stream import EVENTS
from shared.mcp.wire import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    JSON_HEADERS,
    METHOD_NOT_FOUND,
    METHODS,
    NO_ID,
    RESOURCE_NOT_FOUND,
    SERVER_KEY,
    Message,
    Response,
    RpcError,
    id_of,
    message_of,
    not_allowed,
    refused,
    rpc_error,
)
from shared.ports.mailboxes import Mailboxes
from shared.ports.mcp_sessions import McpSessions, Remembered
from shared.strict_json import dump
from shared.wiring import Ports

logger = logging.getLogger("sutazai.mcp")

# To clients from before 2026, who take only a 200 for an answer, and anything else for a broken connection.
_ANSWERS: Final = frozenset({METHOD_NOT_FOUND, INVALID_PARAMS, RESOURCE_NOT_FOUND})
_CANCELLED_S: Final = 0.5


class McpEndpoint:
    """Whatever a request needs lies in it, or where every replica finds it, so any of them answers."""

    def __init__(self, path: str, catalogue: Catalogue, *, timeout_s: float) -> None:
        self.path = path
        self.catalogue = catalogue
        self.timeout_s = timeout_s
        self._gate = AgentGate(SCOPE, path)

    @property
    def routes(self) -> "list[tuple[str, str, McpEndpoint]]":
        return [(method, self.path, self) for method in METHODS]

    async def open(self, ports: Ports) -> None:
        """The catalogue is open by then."""
        self._door = Doorway(ports.settings)
        server = self.catalogue.server
        self.info = dump({"name": server.name, "title": server.title, "version": server.version})
        self._meta = b'"_meta":{"%b":%b' % (SERVER_KEY.encode(), self.info)
        self.handles = Handles(mcp_key(ports.settings.keys_dir), self.path)
        self.sessions = await ports.open(McpSessions)
        self.mailboxes = await ports.open(Mailboxes)
        self.resumables = await ports.open(Resumables)
        await self._gate.open(ports)

    def capabilities(self, exchange: Exchange) -> bytes:
        """Extensions are nothing to the revisions with a handshake, whose subscriptions are requests of their own."""
        found = dict(self.catalogue.capabilities)
        if exchange.legacy is not None:
            found.pop("extensions", None)
            if isinstance(resources := found.get("resources"), dict):
                found["resources"] = {**resources, "subscribe": True}
        return dump(found)

    async def answer(self, request: Request, path: Mapping[str, str]) -> Answer:
        try:
            self._door.check(request)
            if request.method not in _HTTP:
                raise not_allowed(_HTTP)
            caller = await self._gate.caller(request)
            return await _HTTP[request.method](self, request, caller)
        except RpcError as error:
            return refused(NO_ID, error)
        except SutazaiError as error:
            return refused(NO_ID, rpc_error(error))

    async def post(self, request: Request, caller: Caller) -> Answer:
        check_types(request)
        message = message_of(await request.body(MIB))
        if isinstance(message, Message) and message.id is not None:
            return await self._answered(message, request, caller)
        legacy = legacy_version(request, message if isinstance(message, Message) else None)
        session = None if legacy is None else await self._session(request, caller)
        if isinstance(message, Response):
            await self._take(message, caller, legacy)
        elif session is not None and message.method == "notifications/cancelled":
            await self._cancel(message, session)
        return Answer(202)

    async def get(self, request: Request, caller: Caller) -> Answer:
        """Takes up what broke off; beside that, nothing is said that was not asked for."""
        last = request.header(b"last-event-id")
        session = None if last is None else await self._session(request, caller)
        if last is None or session is None:
            raise not_allowed([method for method in _HTTP if method != "GET"])
        place = place_of(last)
        name = place and self.handles.stream(session, place[0])
        pieces = await self.resumables.resumed(name, place[1]) if place and name else None
        if pieces is None:
            raise RpcError(INVALID_REQUEST, "this stream is over, or none of this session", status=404)
        return Answer(200, headers=EVENTS, pieces=pieces)

    async def delete(self, request: Request, caller: Caller) -> Answer:
        """Ends a session, which its handle outlives."""
        session = await self._session(request, caller)
        if session is None:
            raise RpcError(INVALID_REQUEST, "which session? Its handle is the header Mcp-Session-Id")
        await self.sessions.remember(session.id, Remembered(ended=True), ttl_s=session.left_s)
        return Answer(204)

    async def _session(self, request: Request, caller: Caller) -> Session | None:
        """None where none is named: all that a session is for is done without. Raises RpcError with 404."""
        handle = request.header(b"mcp-session-id")
        if handle is None:
            return None
        session = self.handles.session(caller.user_id, handle)
        if session is None or (await self.sessions.recall(session.id)).ended:
            raise RpcError(INVALID_REQUEST, "this session is over, or none of ours; begin another", status=404)
        return session

    async def _answered(self, message: Message, request: Request, caller: Caller) -> Answer:
        exchange = Exchange(message=message, request=request, caller=caller)
        return await self.settled(exchange, self._method(exchange))

    async def _method(self, exchange: Exchange) -> Result | Answer:
        message, request = exchange.message, exchange.request
        exchange.legacy = legacy = legacy_version(request, message)
        if legacy is not None and message.method != "initialize":
            exchange.session = await self._session(request, exchange.caller)
        method = (MODERN if legacy is None else WITH_HANDSHAKE).get(message.method)
        if method is None or (method.needs is not None and method.needs not in self.catalogue.capabilities):
            raise RpcError(METHOD_NOT_FOUND, f"no method {message.method[:64]!r}", status=404)
        return await method.answer(self, exchange)

    async def _take(self, response: Response, caller: Caller, legacy: str | None) -> None:
        """Hands an answer to whoever asked. Raises RpcError."""
        if legacy is None:
            raise RpcError(INVALID_REQUEST, "responses are not taken: nothing was asked")
        said = dump({"result": response.result, "error": response.error})
        mine = self.handles.is_question(caller.user_id, response.id)
        if not mine or not await self.mailboxes.send(response.id, said):
            raise RpcError(INVALID_REQUEST, "nobody waits for this answer")

    async def _cancel(self, message: Message, session: Session) -> None:
        """What has ended by now is not there to be told."""
        wanted = message.params.get("requestId")
        if isinstance(wanted, str | int) and not isinstance(wanted, bool):
            await self.mailboxes.send(self.handles.call(session, id_of(wanted)), b"", within_s=_CANCELLED_S)

    async def settled(self, exchange: Exchange, work: Awaitable[Result | Answer]) -> Answer:
        """Whatever became of a request, as its answer."""
        asked = exchange.message.id or NO_ID
        try:
            result = await work
            return result if isinstance(result, Answer) else self._written(asked, result, exchange.legacy)
        except RpcError as error:
            if exchange.legacy is not None and error.code in _ANSWERS:
                error.status = 200
            return refused(asked, error)
        except SutazaiError as error:
            self._gate.challenged(error, exchange.request)
            return refused(asked, rpc_error(error))
        except Disconnected:
            raise
        except Exception:
            logger.exception("%s failed (request %s)", exchange.message.method[:64], exchange.request.request_id)
            return refused(asked, RpcError(INTERNAL_ERROR, "something went wrong on our side", status=500))

    def _written(self, id: bytes, result: Result, legacy: str | None) -> Answer:
        if legacy is None:
            parts = [b'"resultType":"%b"' % result.type]
            parts += [part for part in (result.members, result.hints) if part]
            parts.append(b"%b,%b}" % (self._meta, result.meta) if result.meta else self._meta + b"}")
        else:
            parts = [result.members] if result.members else []
            parts += [b'"_meta":{%b}' % result.meta] if result.meta else []
        body = b'{"jsonrpc":"2.0","id":%b,"result":{%b}}' % (id, b",".join(parts))
        return Answer(200, body, (*JSON_HEADERS, *result.headers) if result.headers else JSON_HEADERS)


# Of HTTP.
_HTTP: Final[Mapping[str, Callable[[McpEndpoint, Request, Caller], Awaitable[Answer]]]] = {
    "GET": McpEndpoint.get,
    "POST": McpEndpoint.post,
    "DELETE": McpEndpoint.delete,
}
