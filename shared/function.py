"""The declaration: decorators that say what triggers a function and how it scales. They mark and never wrap."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, get_type_hints
from uuid import UUID

if TYPE_CHECKING:
    from pydantic import BaseModel

    from events.base import Event
    from shared.strict_json import Json

Handler = Callable[..., Any]
H = TypeVar("H", bound=Handler)
R = TypeVar("R")
Effect = Literal["read", "write", "network", "exec"]
# Whether MCP clients get a task for a call: never, if they can take one, or always.
TaskUse = Literal["forbidden", "optional", "required"]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Metric = Literal["concurrency", "cpu", "queue"]
# Of RFC 5424, by weight.
LogLevel = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
# From what has been typed of an argument, and the arguments known by then, suggestions, the likeliest first.
Completer = Callable[[str, Mapping[str, str]], Sequence[str]]

MARK = "__sutazai__"
MIB = 1 << 20
# A Knative Service ends a request after 600 s at most, and a task needs 30 s of them to record its end.
LONGEST_TASK_S = 570.0
# Clients and what stands between wait about so long for an answer.
LONGEST_CALL_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How many replicas, and how much of `metric` each is meant to bear.

    `target` counts requests at once (concurrency), percents of a replica's CPU, or items that wait (queue). What scales
    by anything but concurrency is never at zero.
    """

    min: int = 0
    max: int = 10
    target: int = 50
    metric: Metric = "concurrency"


# For what every caller passes through: always there, and grown before its queue does.
HOT = Scale(min=2, max=10, target=70, metric="cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, as proven by a token or an API key; with a key, `session_id` is the key's id.

    `expires_at`, of the token, in seconds since 1970. `resources`: the MCP servers that the token is for, and nothing
    else; None where it is for all of the platform.
    """

    user_id: UUID
    session_id: UUID
    roles: frozenset[str]
    scopes: frozenset[str]
    tier: str = "free"
    expires_at: float = float("inf")
    resources: frozenset[str] | None = None


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
    scheme: str = "http"
    host: str = ""


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

    @property
    def askable(self) -> frozenset[str]:
        """What the client can be asked: of `elicitation`, `sampling` and `roots`."""

    @property
    def state(self) -> "Json":
        """What was kept when the client was last asked."""

    def ask(self, requests: Mapping[str, "Json"], *, keep: "Json" = None) -> Mapping[str, "Json"]:
        """The client's answers, by key, to requests as MCP words them: `{"method": "elicitation/create", ...}`.

        Until there are all of them the attempt ends here. The action then begins anew, with `state` as it was kept:
        what it does before it asks is done again, and a key stands for the same request throughout.
        """

    def detach(self) -> None:
        """What follows takes long. A call whose client can take a task becomes one here, and begins anew as that.

        Else it goes on; clients that can take up a stream again need not hold their connection for it.
        """


class Log(Protocol):
    """Tells the client that waits for this call; nobody hears it where none does, or it has not asked to."""

    def __call__(self, level: LogLevel, data: "Json", *, logger: str = "") -> None: ...


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
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


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
    form: bool = False
    upload: bool = False
    oauth: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OnEvent:
    event: "type[Event]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Icon:
    """For people, at an https: or data: URL; `sizes` as in `48x48`, or `any`."""

    src: str
    mime_type: str | None = None
    sizes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    name: str
    title: str
    effect: Effect
    destructive: bool
    idempotent: bool
    scope: str
    task: TaskUse = "forbidden"
    detaches: bool = False
    limit_per_minute: int | None = None
    icons: tuple[Icon, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """`uri` is one, or a template with the payload's fields in braces. `public`: it is the same for every caller.

    `listed`: values of the one field whose resources are listed, each by itself, in place of the template.
    """

    uri: str
    name: str
    title: str
    mime_type: str
    ttl_s: float
    public: bool
    listed: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    priority: float | None = None
    icons: tuple[Icon, ...] = ()
    complete: Mapping[str, Completer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    name: str
    title: str
    icons: tuple[Icon, ...] = ()
    complete: "Mapping[str, Completer]" = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """`disk_gib`: of a disk of its own, which it finds again at its next start; 0 is none."""

    disk_gib: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocket:
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mcp:
    """An MCP server that is made of others."""

    path: str


Trigger = Http | OnEvent | Tool | Resource | Prompt | Every | Service | WebSocket | Mcp


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
        return self.package.removeprefix("agents.").partition(".")[0].replace("_", "-")

    @property
    def deployed(self) -> str:
        """The name of its Service: `<package>-<function>`, a DNS label."""
        return deployed_name(self.module)

    @cached_property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.handler)

    @property
    def tool(self) -> Tool:
        assert isinstance(self.trigger, Tool)
        return self.trigger

    @property
    def resource(self) -> Resource:
        assert isinstance(self.trigger, Resource)
        return self.trigger

    @property
    def prompt(self) -> Prompt:
        assert isinstance(self.trigger, Prompt)
        return self.trigger

    @property
    def mcp(self) -> Mcp:
        assert isinstance(self.trigger, Mcp)
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


def deployed_name(module: str) -> str:
    """Of the function that a module holds: `tasks-get-task` of `functions.tasks.get_task`."""
    return module.partition(".")[2].removeprefix("agents.").replace("_", "-").replace(".", "-")


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
    form: bool = False,
    upload: bool = False,
    oauth: bool = False,
    timeout_s: float = 30.0,
    body_limit_bytes: int = MIB,
    scale: Scale | None = None,
) -> Callable[[H], H]:
    """A route. `scope=None` opens it to everyone, so it must be written out.

    `keyed`: an Idempotency-Key makes the answer be kept and repeated; False where the handler does better itself.
    `limited`: a call counts against its caller's rate. `form`: the body is a form, not JSON.
    `upload`: it is JSON, or a multipart form with a file; the payload is a root model of both.
    `oauth`: refusals are worded as RFC 6749 has them; `details.error` is the error's name there.
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
        form=form,
        upload=upload,
        oauth=oauth,
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
    task: TaskUse | None = None,
    detaches: bool = False,
    limit_per_minute: int | None = None,
    icons: tuple[Icon, ...] = (),
    scale: Scale | None = None,
) -> Callable[[H], H]:
    """An agent's action. `async def` runs on the loop; plain `def` and effect exec in a child, which can be killed.

    `task`: whether MCP clients that can take one get a task for a call, by default where it may take over a minute.
    `detaches`: that task is made when the action calls `run.detach()`, before which it does nothing but ask.
    `limit_per_minute`: so many calls of one user pass at once, and come back over a minute; None sets no limit.
    """
    if limit_per_minute is not None and limit_per_minute < 1:
        raise ValueError(f"limit_per_minute={limit_per_minute!r}: a tool that nobody may call is none")
    if not 0 < timeout_s <= LONGEST_TASK_S:
        raise ValueError(f"timeout_s={timeout_s!r}: a task runs inside one request, at most {LONGEST_TASK_S:.0f} s")

    def mark(handler: H) -> H:
        public = name or handler.__name__
        trigger = Tool(
            name=public,
            title=title or _titled(public),
            effect=effect,
            destructive=destructive,
            idempotent=idempotent or effect == "read",
            scope=scope,
            task=task or ("optional" if timeout_s > LONGEST_CALL_S else "forbidden"),
            detaches=detaches,
            limit_per_minute=limit_per_minute,
            icons=icons,
        )
        return _mark(trigger, timeout_s, scale)(handler)

    return mark


def resource(
    uri: str,
    *,
    name: str | None = None,
    title: str | None = None,
    mime_type: str = "text/plain",
    ttl_s: float = 0,
    public: bool = False,
    listed: tuple[str, ...] = (),
    audience: tuple[Literal["user", "assistant"], ...] = (),
    priority: float | None = None,
    icons: tuple[Icon, ...] = (),
    complete: "Mapping[str, Completer] | None" = None,
    timeout_s: float = 30.0,
) -> Callable[[H], H]:
    """What an agent gives clients to read: text, bytes, or contents of several URIs.

    `{field}` in `uri` stands for a field of the payload without a slash, `{+field}` for one with any. For `ttl_s`
    readers may keep it. A template of one field may say which values of it are `listed`.
    """

    def mark(handler: H) -> H:
        public_name = name or handler.__name__
        trigger = Resource(
            uri=uri,
            name=public_name,
            title=title or _titled(public_name),
            mime_type=mime_type,
            ttl_s=ttl_s,
            public=public,
            listed=listed,
            audience=audience,
            priority=priority,
            icons=icons,
            complete=complete or {},
        )
        return _mark(trigger, timeout_s, None)(handler)

    return mark


def prompt(
    *,
    name: str | None = None,
    title: str | None = None,
    icons: tuple[Icon, ...] = (),
    complete: "Mapping[str, Completer] | None" = None,
    timeout_s: float = 30.0,
) -> Callable[[H], H]:
    """A text that people start from, or messages; the payload's fields are its arguments, which come as text."""

    def mark(handler: H) -> H:
        public_name = name or handler.__name__
        trigger = Prompt(name=public_name, title=title or _titled(public_name), icons=icons, complete=complete or {})
        return _mark(trigger, timeout_s, None)(handler)

    return mark


def _titled(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").capitalize()


def every(seconds: float, *, timeout_s: float = 30.0) -> Callable[[H], H]:
    """Runs every so many seconds, once however many replicas there are; a turn that fails is not made up for."""
    return _mark(Every(seconds=seconds), timeout_s, None)


def service(*, disk_gib: int = 0, scale: Scale | None = None) -> Callable[[H], H]:
    """Long-running: it is called once and returns when it is cancelled."""
    return _mark(Service(disk_gib=disk_gib), float("inf"), scale or Scale(min=1, max=1))


def socket(path: str, *, scale: Scale | None = None) -> Callable[[H], H]:
    """Connections at a path: each is one call, whose first parameter is the `Connection`; both end together."""
    return _mark(WebSocket(path=path), float("inf"), scale)


def mcp(path: str, *, scale: Scale | None = None) -> Callable[[H], H]:
    """A bridge at a path: it is called once when its process opens, and returns what it is made of."""
    return _mark(Mcp(path=path), LONGEST_TASK_S + 30.0, scale)


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
