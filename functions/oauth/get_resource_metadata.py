"""GET /.well-known/oauth-protected-resource: who issues tokens for all MCP servers of this platform at once."""

from functions.oauth._here import USUAL_SCOPES
from functions.oauth._resource import ProtectedResource, described
from shared.function import Call, http
from shared.public_url import PublicUrl


@http("GET", "/.well-known/oauth-protected-resource", scope=None, envelope=False, limited=False, oauth=True)
async def get_resource_metadata(*, public: PublicUrl, call: Call) -> ProtectedResource:
    return described("", "SutazAI", USUAL_SCOPES, public=public, call=call)
