"""Where functions run, and how Kong reaches them there."""

from dataclasses import dataclass
from typing import Any

from shared.manifests.deployables import NAMESPACE, PORT, SERVICE_PORT
from shared.manifests.kong.entries import Entry

Upstream = dict[str, Any]

# Who signs, unless it is said otherwise; and where all this is reached.
ISSUER = PUBLIC_URL = "https://sutazai.local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """URLs in which `{name}` stands for what is deployed; a request's path is added to them."""

    function: str
    # Of what runs there, but not as one of its functions.
    beside: str
    agent: str = ""
    socket: str = ""
    public_url: str = PUBLIC_URL
    # Of pages that may call.
    origins: tuple[str, ...] = (PUBLIC_URL,)
    upstreams: tuple[Upstream, ...] = ()

    def url(self, entry: Entry) -> str:
        special = self.socket if entry.socket else self.agent if entry.tools else ""
        return (special or (self.function if entry.kind == "function" else self.beside)).format(name=entry.name)


def _upstream(name: str, balance: dict[str, Any], targets: dict[str, int]) -> Upstream:
    """A replica that fails its probe, or three connections in a row, gets nothing until it answers again."""
    active = {
        "type": "http",
        "http_path": "/health/ready",
        "timeout": 2,
        "healthy": {"interval": 5, "successes": 1, "http_statuses": [200]},
        "unhealthy": {"interval": 2, "http_failures": 2, "tcp_failures": 2, "timeouts": 2, "http_statuses": [503]},
    }
    # A 5xx is an answer: one function that fails says nothing about the replica.
    passive = {"type": "http", "unhealthy": {"tcp_failures": 3, "timeouts": 3, "http_failures": 0}}
    return {
        "name": name,
        **balance,
        "healthchecks": {"active": active, "passive": passive},
        "targets": [{"target": target, "weight": weight} for target, weight in targets.items()],
    }


_SERVICE = f"http://{{name}}.{NAMESPACE}.svc.cluster.local:{SERVICE_PORT}"
_LEAST_BUSY = {"algorithm": "least-connections"}
# A socket comes back to the replica that it had.
_STICKY = {"algorithm": "consistent-hashing", "hash_on": "ip"}
BACKENDS = {f"backend-1:{PORT}": 3, f"backend-2:{PORT}": 2, f"backend-3:{PORT}": 1}

# Knative finds replicas, and starts them, behind these names.
KNATIVE = Place(function=_SERVICE, beside=_SERVICE)
# Its gateway passes no sockets on and gives a function no disk: what needs them runs beside the functions.
OPENFAAS = Place(function="http://gateway.openfaas:8080/function/{name}", beside=_SERVICE)
COMPOSE = Place(
    function="http://backend",
    beside="http://backend",
    agent=f"http://{{name}}:{PORT}",
    socket="http://sockets",
    public_url="http://127.0.0.1:10008",
    origins=("http://127.0.0.1:11000", "http://localhost:11000"),
    upstreams=(_upstream("backend", _LEAST_BUSY, BACKENDS), _upstream("sockets", _STICKY, BACKENDS)),
)
