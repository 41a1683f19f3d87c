"""What an MCP server offers to the endpoint that speaks HTTP and JSON-RPC for it: one agent's own, or several's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol

from shared.asgi import Headers, Request
from shared.dialogue import SILENT, Dialogue, Questions
from shared.function import Caller
from shared.mcp.wire import Message
from shared.strict_json import Json
from shared.watched import Watcher

if TYPE_CHECKING:
    from shared.mcp.handles import Session
    from shared.mcp.tasks import McpTasks

# Of a result's lists, by the name of the member that holds them.
Kind = Literal["tools", "resources", "resourceTemplates", "prompts"]
# What a request's `resultType` is where it says nothing else.
COMPLETE: Final = b"complete"


@dataclass(slots=True)
class Result:
    """What a request is answered with: members of a JSON object, as they stand between its braces, and of its `_meta`.

    `hints` are members too, about caching; only clients of 2026 and later are sent them. `headers` are HTTP's.
    `failed`: it says that a tool failed.
    """

    members: bytes
    meta: bytes = b""
    type: bytes = COMPLETE
    hints: bytes = b""
    headers: Headers = ()
    failed: bool = False


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request: who asks for what, what they have been asked in turn, and who hears of it meanwhile.

    `legacy`: the revision with a handshake that it is of, "" where it names none; None for the modern one.
    """

    message: Message
    request: Request
    caller: Caller
    legacy: str | None = None
    session: "Session | None" = None
    dialogue: Dialogue = SILENT
    watcher: Watcher | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Who answers, in words for people and models."""

    name: str
    title: str
    version: str
    instructions: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What has to be known of a tool before it is called.

    `mirrored`: the names of arguments that headers repeat, by the header's name in lower case. `talks`: it may say
    how it goes, or ask; what never does is answered without the machinery for that.
    """

    scope: str
    mirrored: Mapping[bytes, str] = field(default_factory=dict)
    talks: bool = False


class Catalogue(Protocol):
    """Raises RpcError for what it does not have; what callers may not use, it does not have either, or it is Forbidden.

    Whatever may ask its client is answered with Questions until the exchange's dialogue has all answers.
    """

    @property
    def server(self) -> Server: ...

    @property
    def capabilities(self) -> Mapping[str, Json]:
        """Of `tools`, `resources`, `prompts`, `completions`, `logging` and `extensions`: those that it has."""

    @property
    def tasks(self) -> "McpTasks":
        """What calls have become; asked for only where `extensions` says that some may."""

    async def list(self, kind: Kind, cursor: str | None, caller: Caller) -> Result: ...

    async def tool(self, name: str, caller: Caller) -> Offered: ...

    async def call(self, name: str, arguments: Mapping[str, Json], exchange: Exchange) -> Result | Questions:
        """A tool's own failure is a result that says `isError`."""

    async def read(self, uri: str, exchange: Exchange) -> Result | Questions: ...

    async def get(self, name: str, arguments: Mapping[str, str], exchange: Exchange) -> Result | Questions: ...

    async def complete(
        self, reference: Mapping[str, Json], name: str, value: str, known: Mapping[str, str], caller: Caller
    ) -> Result:
        """Suggestions for the argument `name` of a prompt or template, of which `value` is typed and others `known`."""
