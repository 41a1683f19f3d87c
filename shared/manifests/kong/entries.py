"""What callers may reach through the gateway, as the declarations have it."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.catalog import DOCUMENTS, agents
from shared.endpoints import result_type
from shared.function import MIB, Http, Mcp, Spec, Tool, WebSocket
from shared.manifests.deployables import Deployable, Kind, deployables
from shared.mcp.wire import METHODS
from shared.streams import Stream

_PROBES = ("/health/live", "/health/ready")
# Those that an MCP server refuses it refuses in its own words; OPTIONS is how browsers ask the gateway.
_MCP_METHODS = ("HEAD", *(method for method in METHODS if method != "OPTIONS"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One deployed function, or agent, with the paths under which callers reach it."""

    name: str
    kind: Kind
    timeout_s: int
    methods: tuple[str, ...]
    paths: tuple[str, ...]
    # Whether a caller has to prove who it is before its request is passed on.
    protected: bool = False
    body_limit_bytes: int = MIB
    streams: bool = False
    socket: bool = False
    # The names that calls of an agent's tools bring in a header.
    tools: tuple[str, ...] = ()

    @property
    def reads(self) -> bool:
        """Whether asking twice is the same as asking once."""
        return not self.socket and set(self.methods) <= {"GET", "HEAD"}


def entries(specs: Sequence[Spec]) -> list[Entry]:
    """In order of name. Raises ValueError where a path is declared twice."""
    deployed = {each.name: each for each in deployables(specs)}
    # What indexes documents is given its tasks by the API for documents alone.
    acting = {name: actions for name, actions in agents(tuple(specs)).items() if name != DOCUMENTS}
    found = [_agent(deployed[name], actions) for name, actions in acting.items()]
    for spec in specs:
        match spec.trigger:
            case Http():
                found.append(_http(deployed[spec.deployed], spec))
            case WebSocket(path=path):
                found.append(_socket(deployed[spec.deployed], path))
            case Mcp(path=path):
                named = (f"{agent}__{name}" for agent, actions in acting.items() for name in _tools(actions))
                found.append(_mcp(deployed[spec.deployed], path, tuple(named)))
    taken: set[tuple[str, str]] = set()
    for entry in found:
        ways = {(method, path) for method in entry.methods for path in entry.paths}
        if doubled := sorted(ways & taken):
            raise ValueError(f"{' '.join(doubled[0])} is declared twice, the second time by {entry.name!r}")
        taken |= ways
    return sorted(found, key=lambda entry: entry.name)


def _http(deployed: Deployable, spec: Spec) -> Entry:
    http = spec.http
    return Entry(
        name=deployed.name,
        kind=deployed.kind,
        timeout_s=deployed.timeout_s,
        methods=("GET", "HEAD") if http.method == "GET" else (http.method,),
        # Every app answers its probes; those who ask through the gateway are answered by what tells of its health.
        paths=(http.path, *(_PROBES if http.path == "/health" else ())),
        protected=http.scope is not None,
        body_limit_bytes=http.body_limit_bytes,
        streams=result_type(spec) is Stream,
    )


def _socket(deployed: Deployable, path: str) -> Entry:
    """Whoever opens one says who it is in its first frame."""
    return Entry(
        name=deployed.name,
        kind=deployed.kind,
        timeout_s=deployed.timeout_s,
        methods=("GET",),
        paths=(path,),
        streams=True,
        socket=True,
    )


def _agent(deployed: Deployable, actions: Sequence[Spec]) -> Entry:
    return _mcp(deployed, f"/mcp/{deployed.name}", _tools(actions))


def _mcp(deployed: Deployable, path: str, tools: tuple[str, ...]) -> Entry:
    return Entry(
        name=deployed.name,
        kind=deployed.kind,
        timeout_s=deployed.timeout_s,
        methods=_MCP_METHODS,
        paths=(path,),
        protected=True,
        streams=True,
        tools=tools,
    )


def _tools(actions: Sequence[Spec]) -> tuple[str, ...]:
    return tuple(sorted(action.trigger.name for action in actions if isinstance(action.trigger, Tool)))
