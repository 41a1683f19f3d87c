"""GET /.well-known/oauth-protected-resource/mcp/{agent_id}: who issues tokens for one agent's MCP server."""

from functools import cache

from pydantic import Field

from functions.oauth._here import USUAL_SCOPES, servers
from functions.oauth._resource import ProtectedResource, described
from shared.catalog import actions_of
from shared.errors import NotFound
from shared.function import Call, http
from shared.payload import Payload
from shared.public_url import MCP, PublicUrl


class GetAgentMetadata(Payload):
    agent_id: str = Field(pattern=r"^[a-z0-9-]{1,64}$")


_PATH = "/.well-known/oauth-protected-resource/mcp/{agent_id}"


@http("GET", _PATH, scope=None, envelope=False, limited=False, oauth=True)
async def get_agent_metadata(request: GetAgentMetadata, *, public: PublicUrl, call: Call) -> ProtectedResource:
    agent = request.agent_id
    if agent not in servers():
        raise NotFound(f"no agent {agent!r}")
    return described(f"{MCP}/{agent}", f"SutazAI: {agent}", _scopes(agent), public=public, call=call)


@cache
def _scopes(agent: str) -> frozenset[str]:
    return USUAL_SCOPES | {spec.tool.scope for spec in actions_of(agent)}
