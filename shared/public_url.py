"""Where clients reach this platform, and what the MCP servers there are called in their tokens."""

import re
from typing import Final

from shared.asgi import Request
from shared.config import Settings
from shared.errors import Challenged, Forbidden, Invalid, Unauthorized
from shared.function import Call, Caller

MCP: Final = "/mcp"
METADATA: Final = "/.well-known/oauth-protected-resource"
# Nothing that would say more in a header or a URL than where it is.
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.ASCII)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


class HostNames:
    """The names that this platform goes by."""

    def __init__(self, settings: Settings) -> None:
        public = _HOST.fullmatch(settings.public_url.partition("//")[2])
        own = frozenset({public[1]}) if public else frozenset()
        self._names = _LOOPBACK | own | {host for host in settings.hosts if not host.startswith("*.")}
        self._suffixes = tuple(host[1:] for host in settings.hosts if host.startswith("*."))

    def __contains__(self, host: str) -> bool:
        """`host` in lower case, with its port or without."""
        found = _HOST.fullmatch(host)
        return found is not None and (
            found[1] in self._names or bool(self._suffixes and found[1].endswith(self._suffixes))
        )


class PublicUrl:
    def __init__(self, *, settings: Settings) -> None:
        self._set = settings.public_url
        self.outside_issuer = settings.oauth_issuer
        self._names = HostNames(settings)

    def of(self, call: Call) -> str:
        """Scheme, host and port that the caller knows, without a slash. Raises Forbidden for a host that is not us."""
        return self._base(call.scheme, call.host)

    def challenged(self, error: Challenged, request: Request, scope: str) -> None:
        """Has the refusal of an MCP server say where a token for it can be got."""
        if is_mcp(request.path):
            error.needed = scope
            error.resource_metadata = f"{self._of(request)}{METADATA}{request.path}"

    def check_resource(self, caller: Caller, request: Request) -> None:
        """Raises Unauthorized where the token is for something else: one server, or all of them."""
        if caller.resources is None:
            return
        base = self._of(request)
        if not is_mcp(request.path) or caller.resources.isdisjoint((base, base + request.path)):
            raise Unauthorized("the access token is not valid: it is for something else", reason="token_invalid")

    def _of(self, request: Request) -> str:
        return self._base(request.scope.get("scheme", "http"), request.header(b"host") or "")

    def _base(self, scheme: str, host: str) -> str:
        if self._set:
            return self._set
        name = host.lower()
        if name not in self._names:
            raise Forbidden(f"this server does not go by the name {host[:200]!r}")
        return f"{scheme}://{name}"


def is_mcp(path: str) -> bool:
    return path == MCP or path.startswith(f"{MCP}/")


def resource_among(asked: str, base: str, agents: tuple[str, ...]) -> str:
    """In the one spelling that tokens have, nothing standing for all of them. Raises Invalid for none of ours."""
    authority, slash, path = asked.partition("//")[2].partition("/")
    scheme = asked.partition("//")[0].lower()
    said = f"{scheme}//{authority.lower()}{slash}{path}".removesuffix("/")
    known = (base, base + MCP, *(f"{base}{MCP}/{agent}" for agent in agents))
    if not asked:
        return base
    if said not in known:
        raise Invalid(f"{asked[:200]!r} is none of the resources here", error="invalid_target")
    return said
