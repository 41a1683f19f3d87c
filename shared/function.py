"""The declaration: decorators that say what triggers a function and how it scales. They mark and never wrap."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, get_type_hints
from uuid import UUID

if TYPE_CHECKING:
    from pydantic import BaseModel

    from events.base import Event

Handler = Callable[..., Any]
H = TypeVar("H", bound=Handler)
R = TypeVar("R")
Effect = Literal["read", "write", "network", "exec"]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

MARK = "__sutazai__"
MIB = 1 << 20
# A Knative Service ends a request after 600 s at most, and a task needs 30 s of them to record its end.
LONGEST_TASK_S = 570.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How many replicas, and how many requests at once (`target`) each is meant to hold."""

    min: int = 0
    max: int = 10
    target: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, as proven by a token or an API key; with a key, `session_id` is the key's id.

    `expires_at`, of the token, in seconds since 1970.
    """

    user_id: UUID
    session_id: UUID
    roles: frozenset[str]
    scopes: frozenset[str]
    tier: str = "free"
    expires_at: float = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The request around a payload: what a handler may need beside it."""

    request_id: str
    address: str = ""
    user_agent: str = ""
    idempotency_key: str | None = None
    wait_s: float | None = None
    last_event_id: str | None = None
    # Of the page that a browser asks for.
    origin: str | None = None


class Run(Protocol):
    """One attempt at a task, as the action sees it."""

    @property
    def user_id(self) -> UUID: ...
    @property
    def execution_id(self) -> UUID: ...
    @property
    def attempt(self) -> int:
        """Counts from 1."""

    def key(self, step: str) -> str:
        """The idempotency key of one outside call: the same in every attempt."""

    def progress(self, percent: float, message: str = "") -> None:
        """Overwrite the task's progress; at most 4 a second leave the process."""


@dataclass(frozen=True, kw_only=True)
class Reply(Generic[R]):
    """An answer whose status, message or headers are not the declared ones."""

    data: R
    status: int | None = None
    message: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer that is not JSON and has no envelope."""

    body: bytes
    content_type: str = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    method: Method
    path: str
    scope: str | None
    status: int
    envelope: bool
    body_limit_bytes: int
    keyed: bool
    limited: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OnEvent:
    event: "type[Event]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    name: str
    title: str
    effect: Effect
    destructive: bool
    idempotent: bool
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """It has nothing to say: it only runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocket:
    path: str


Trigger = Http | OnEvent | Tool | Every | Service | WebSocket


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    trigger: Trigger
    timeout_s: float
    scale: Scale


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A declared function, whole: what its signature and its mark say together."""

    name: str
    module: str
    handler: Handler = field(repr=False)
    trigger: Trigger
    timeout_s: float
    scale: Scale
    payload: "type[BaseModel] | None"
    ports: dict[str, type]
    result: Any

    @property
    def package(self) -> str:
        """`tasks`, or `agents.filesystem`."""
        return self.module.split(".", 1)[1].rpartition(".")[0]

    @cached_property
    def agent(self) -> str:
        """The agent that an action belongs to, under its public name."""
        return self.package.rpartition(".")[2].replace("_", "-")

    @property
    def deployed(self) -> str:
        """The name of its Service: `<package>-<function>`, a DNS label."""
        return f"{self.package.removeprefix('agents.')}-{self.name}".replace("_", "-").replace(".", "-")

    @cached_property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.handler)

    @property
    def tool(self) -> Tool:
        assert isinstance(self.trigger, Tool)
        return self.trigger

    @property
    def http(self) -> Http:
        assert isinstance(self.trigger, Http)
        return self.trigger

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.handler) or inspect.getdoc(inspect.getmodule(self.handler)) or "").partition("\n")[
            0
        ]


def _mark(trigger: Trigger, timeout_s: float, scale: Scale | None) -> Callable[[H], H]:
    def mark(handler: H) -> H:
        setattr(handler, MARK, Mark(trigger=trigger, timeout_s=timeout_s, scale=scale or Scale()))
        return handler

    return mark


def http(
    method: Method,
    path: str,
    *,
    scope: str | None,
    status: int = 200,
    envelope: bool = True,
    keyed: bool = True,
    limited: bool = True,
    timeout_s: float = 30.0,
    body_limit_bytes: int = MIB,
    scale: Scale | None = None,
) -> Callable[[H], H]:
    """A route. `scope=None` opens it to everyone, so it must be written out.

    `keyed`: an Idempotency-Key makes the answer be kept and repeated; False where the handler does better itself.
    `limited`: a call counts against its caller's rate.
    """
    trigger = Http(
        method=method,
        path=path,
        scope=scope,
        status=status,
        envelope=envelope,
        body_limit_bytes=body_limit_bytes,
        keyed=keyed,
        limited=limited,
    )
    return _mark(trigger, timeout_s, scale)


def on_event(event: "type[Event]", *, timeout_s: float = 30.0, scale: Scale | None = None) -> Callable[[H], H]:
    """A consumer of one type of domain event; runs at least once per event."""
    return _mark(OnEvent(event=event), timeout_s, scale)


def tool(
    *,
    effect: Effect,
    timeout_s: float = 30.0,
    name: str | None = None,
    title: str | None = None,
    destructive: bool = False,
    idempotent: bool = False,
    scope: str = "agents:execute",
    scale: Scale | None = None,
) -> Callable[[H], H]:
    """An agent's action. `async def` runs on the loop; plain `def` and effect exec in a child, which can be killed."""
    if not 0 < timeout_s <= LONGEST_TASK_S:
        raise ValueError(f"timeout_s={timeout_s!r}: a task runs inside one request, at most {LONGEST_TASK_S:.0f} s")

    def mark(handler: H) -> H:
        public = name or handler.__name__
        trigger = Tool(
            name=public,
            title=title or public.replace("_", " ").replace("-", " ").capitalize(),
            effect=effect,
            destructive=destructive,
            idempotent=idempotent or effect == "read",
            scope=scope,
        )
        return _mark(trigger, timeout_s, scale)(handler)

    return mark


def every(seconds: float, *, timeout_s: float = 30.0) -> Callable[[H], H]:
    """Runs every so many seconds, once however many replicas there are; a turn that fails is not made up for."""
    return _mark(Every(seconds=seconds), timeout_s, None)


def service(*, scale: Scale | None = None) -> Callable[[H], H]:
    """Long-running: it is called once and returns when it is cancelled."""
    return _mark(Service(), float("inf"), scale or Scale(min=1, max=1))


def socket(path: str, *, scale: Scale | None = None) -> Callable[[H], H]:
    """Connections at a path: each is one call, whose first parameter is the `Connection`; both end together."""
    return _mark(WebSocket(path=path), float("inf"), scale)


def spec_of(handler: Handler) -> Spec:
    """The Spec of a marked function.

    Raises TypeError where the signature is no declaration: an untyped parameter, or a port that is not keyword-only.
    """
    mark: Mark = getattr(handler, MARK)
    hints = get_type_hints(handler, include_extras=True)
    payload: type[BaseModel] | None = None
    ports: dict[str, type] = {}
    for position, parameter in enumerate(inspect.signature(handler).parameters.values()):
        where = f"{handler.__module__}.{handler.__name__}({parameter.name})"
        if parameter.name not in hints:
            raise TypeError(f"{where} has no type")
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            ports[parameter.name] = hints[parameter.name]
        elif position == 0 and parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            payload = hints[parameter.name]
        else:
            raise TypeError(f"{where} is neither the payload nor a keyword-only port")
    return Spec(
        name=handler.__name__,
        module=handler.__module__,
        handler=handler,
        trigger=mark.trigger,
        timeout_s=mark.timeout_s,
        scale=mark.scale,
        payload=None if isinstance(mark.trigger, WebSocket) else payload,
        ports=ports,
        result=hints.get("return"),
    )
