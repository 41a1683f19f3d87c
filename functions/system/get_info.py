"""GET /info: which version this is, what it can do and how much it takes."""

from pydantic import BaseModel

from shared import asgi, strict_json
from shared.catalog import agent_names, modules
from shared.function import LONGEST_TASK_S, MIB, http
from shared.version import VERSION

_WITHOUT_ROUTES = frozenset({"agents", "bridge", "connector", "keeper", "realtime", "webhooks"})


class Features(BaseModel):
    """`endpoints` are the groups of routes, under the names they have in the description of the API."""

    endpoints: list[str]
    agents: list[str]


class Limits(BaseModel):
    """`body_bytes` holds where a route says nothing else."""

    body_bytes: int = MIB
    header_bytes: int = asgi.HEADER_BYTES
    json_depth: int = strict_json.DEPTH
    json_keys: int = strict_json.KEYS
    string_bytes: int = strict_json.STRING_BYTES
    task_timeout_ms: int = int(LONGEST_TASK_S * 1000)


class Info(BaseModel):
    name: str
    version: str
    features: Features
    limits: Limits


@http("GET", "/info", scope=None, envelope=False, limited=False)
async def get_info() -> Info:
    """Which version this is, what it can do and how much it takes."""
    packages = {module.split(".")[1] for module in modules()}
    features = Features(endpoints=sorted(packages - _WITHOUT_ROUTES), agents=list(agent_names()))
    return Info(name="SutazAI", version=VERSION, features=features, limits=Limits())
