"""The methods of MCP, by era: what each asks of a catalogue, and under which capability it is there."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.asgi import Answer
from shared.connected import WhileConnected
from shared.dialogue import KINDS, Questions
from shared.function import Caller
from shared.identity import authorize
from shared.mcp.conversation import level_of
from shared.mcp.handles import subject
from shared.mcp.headers import check_mirrored, takes_events
from shared.mcp.rounds import talked
from shared.mcp.server import Exchange, Kind, Result
from shared.mcp.stream import EVENTS
from shared.mcp.wire import INVALID_PARAMS, INVALID_REQUEST, LEGACY, SUPPORTED, Message, RpcError
from shared.ports.mcp_sessions import Remembered
from shared.strict_json import Json, dump

if TYPE_CHECKING:
    from shared.mcp.endpoint import McpEndpoint

SCOPE: Final = "agents:execute"
_DISCOVERED: Final = b'"ttlMs":3600000,"cacheScope":"public"'
_KNOWN_CHARACTERS: Final = 10_000

Answering = Callable[["McpEndpoint", Exchange], Awaitable[Result | Answer]]


@dataclass(frozen=True, slots=True)
class Method:
    """`needs`: the capability that a server without it does not have; such a method is not found there."""

    answer: Answering
    needs: str | None = None


async def discover(server: "McpEndpoint", exchange: Exchange) -> Result:
    members = b'"supportedVersions":%b,"capabilities":%b,"instructions":%b' % (
        dump(list(SUPPORTED)),
        server.capabilities(exchange),
        dump(server.catalogue.server.instructions),
    )
    return Result(members, hints=_DISCOVERED)


async def initialize(server: "McpEndpoint", exchange: Exchange) -> Result:
    params = exchange.message.params
    asked, declared = params.get("protocolVersion"), params.get("capabilities")
    if not isinstance(asked, str):
        raise RpcError(INVALID_PARAMS, "protocolVersion is not a string")
    version = asked if asked in LEGACY else LEGACY[0]
    kinds = KINDS & declared.keys() if isinstance(declared, dict) else frozenset[str]()
    handle = server.handles.begin(exchange.caller.user_id, version, kinds)
    members = b'"protocolVersion":"%b","capabilities":%b,"serverInfo":%b,"instructions":%b' % (
        version.encode(),
        server.capabilities(exchange),
        server.info,
        dump(server.catalogue.server.instructions),
    )
    return Result(members, headers=((b"mcp-session-id", handle.encode()),))


async def ping(server: "McpEndpoint", exchange: Exchange) -> Result:
    return Result(b"")


async def set_level(server: "McpEndpoint", exchange: Exchange) -> Result:
    level = level_of(exchange.message.params.get("level"))
    if exchange.session is None:
        raise RpcError(INVALID_REQUEST, "without a session there is nothing that a level could be set of")
    await server.sessions.remember(exchange.session.id, Remembered(level=level), ttl_s=exchange.session.left_s)
    return Result(b"")


async def subscribe(server: "McpEndpoint", exchange: Exchange) -> Result:
    """To a resource that is there; whoever has subscribed is told of changes, of which there are none so far."""
    await server.catalogue.read(_text(exchange.message, "uri"), exchange)
    return Result(b"")


async def unsubscribe(server: "McpEndpoint", exchange: Exchange) -> Result:
    _text(exchange.message, "uri")
    return Result(b"")


def _listing(kind: Kind) -> Answering:
    async def listed(server: "McpEndpoint", exchange: Exchange) -> Result:
        cursor = exchange.message.params.get("cursor")
        if not isinstance(cursor, str | None):
            raise RpcError(INVALID_PARAMS, "cursor is not a string")
        return await server.catalogue.list(kind, cursor, exchange.caller)

    return listed


async def call_tool(server: "McpEndpoint", exchange: Exchange) -> Result | Answer:
    message, caller = exchange.message, exchange.caller
    name = _text(message, "name")
    arguments = message.params.get("arguments")
    if not isinstance(arguments, dict | None):
        raise RpcError(INVALID_PARAMS, "arguments is not an object")
    given: Mapping[str, Json] = arguments or {}
    offered = await server.catalogue.tool(name, caller)
    _authorize(caller, offered.scope)
    if offered.mirrored and exchange.legacy is None:
        check_mirrored(exchange.request, given, offered.mirrored)

    if not offered.talks and exchange.session is None:
        with WhileConnected(exchange.request):
            answered = await server.catalogue.call(name, given, exchange)
        assert isinstance(answered, Result)
        return answered

    async def act() -> Result | Questions:
        return await server.catalogue.call(name, given, exchange)

    return await talked(server, exchange, subject(message.method, name, dict(given)), act, talks=offered.talks)


def _authorize(caller: Caller, scope: str) -> None:
    # Whoever came in has the usual one.
    if scope != SCOPE:
        authorize(caller, scope)


async def read_resource(server: "McpEndpoint", exchange: Exchange) -> Result | Answer:
    uri = _text(exchange.message, "uri")

    async def act() -> Result | Questions:
        return await server.catalogue.read(uri, exchange)

    return await talked(server, exchange, subject("resources/read", uri, None), act)


async def get_prompt(server: "McpEndpoint", exchange: Exchange) -> Result | Answer:
    name = _text(exchange.message, "name")
    arguments = _texts(exchange.message.params.get("arguments"), "arguments")

    async def act() -> Result | Questions:
        return await server.catalogue.get(name, arguments, exchange)

    return await talked(server, exchange, subject("prompts/get", name, dict(arguments)), act)


async def complete(server: "McpEndpoint", exchange: Exchange) -> Result:
    params = exchange.message.params
    reference, argument, context = params.get("ref"), params.get("argument"), params.get("context")
    if not isinstance(reference, dict) or not isinstance(argument, dict) or not isinstance(context, dict | None):
        raise RpcError(INVALID_PARAMS, "ref, argument and context are objects")
    name, value = argument.get("name"), argument.get("value")
    if not isinstance(name, str) or not isinstance(value, str):
        raise RpcError(INVALID_PARAMS, "argument has a name and a value, which are strings")
    known = _texts((context or {}).get("arguments"), "context.arguments")
    return await server.catalogue.complete(reference, name, value[:_KNOWN_CHARACTERS], known, exchange.caller)


async def get_task(server: "McpEndpoint", exchange: Exchange) -> Result:
    return await server.catalogue.tasks.get(exchange)


async def update_task(server: "McpEndpoint", exchange: Exchange) -> Result:
    return await server.catalogue.tasks.update(exchange)


async def cancel_task(server: "McpEndpoint", exchange: Exchange) -> Result:
    return await server.catalogue.tasks.cancel(exchange)


async def listen(server: "McpEndpoint", exchange: Exchange) -> Answer:
    if not takes_events(exchange.request):
        raise RpcError(406, "the Accept header does not list text/event-stream", status=406)
    # Few ask for it, and what it needs is a hundredth of a cold start.
    from shared.mcp.listen import Listening

    listening = await Listening.open(exchange.message.id or b"null", exchange, server.catalogue.tasks)
    return Answer(200, headers=EVENTS, pieces=listening.pieces())


def _text(message: Message, name: str) -> str:
    value = message.params.get(name)
    if not isinstance(value, str):
        raise RpcError(INVALID_PARAMS, f"{name} is not a string")
    return value


def _texts(value: Json, name: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RpcError(INVALID_PARAMS, f"{name} is not an object")
    texts = {key: text for key, text in value.items() if isinstance(text, str)}
    if len(texts) < len(value):
        raise RpcError(INVALID_PARAMS, f"{name} holds something else than strings")
    return texts


_BOTH: Final[Mapping[str, Method]] = {
    "tools/list": Method(_listing("tools"), "tools"),
    "tools/call": Method(call_tool, "tools"),
    "resources/list": Method(_listing("resources"), "resources"),
    "resources/templates/list": Method(_listing("resourceTemplates"), "resources"),
    "resources/read": Method(read_resource, "resources"),
    "prompts/list": Method(_listing("prompts"), "prompts"),
    "prompts/get": Method(get_prompt, "prompts"),
    "completion/complete": Method(complete, "completions"),
}
MODERN: Final[Mapping[str, Method]] = {
    "server/discover": Method(discover),
    "tasks/get": Method(get_task, "extensions"),
    "tasks/update": Method(update_task, "extensions"),
    "tasks/cancel": Method(cancel_task, "extensions"),
    "subscriptions/listen": Method(listen, "extensions"),
    **_BOTH,
}
WITH_HANDSHAKE: Final[Mapping[str, Method]] = {
    "initialize": Method(initialize),
    "ping": Method(ping),
    "logging/setLevel": Method(set_level, "logging"),
    "resources/subscribe": Method(subscribe, "resources"),
    "resources/unsubscribe": Method(unsubscribe, "resources"),
    **_BOTH,
}
