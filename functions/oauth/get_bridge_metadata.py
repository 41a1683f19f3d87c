"""GET /.well-known/oauth-protected-resource/mcp: who issues tokens for the bridge over all agents."""

from functions.oauth._here import USUAL_SCOPES
from functions.oauth._resource import ProtectedResource, described
from shared.function import Call, http
from shared.public_url import MCP, PublicUrl


@http("GET", "/.well-known/oauth-protected-resource/mcp", scope=None, envelope=False, limited=False, oauth=True)
async def get_bridge_metadata(*, public: PublicUrl, call: Call) -> ProtectedResource:
    return described(MCP, "SutazAI: all agents", USUAL_SCOPES, public=public, call=call)
