"""What the descriptions of the MCP servers have in common."""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from shared.function import Call
from shared.public_url import PublicUrl


class ProtectedResource(BaseModel):
    """As RFC 9728 has it."""

    model_config = ConfigDict(frozen=True)
    resource: str
    authorization_servers: tuple[str, ...]
    scopes_supported: tuple[str, ...]
    bearer_methods_supported: tuple[str, ...] = ("header",)
    resource_name: str


def described(path: str, name: str, scopes: Iterable[str], *, public: PublicUrl, call: Call) -> ProtectedResource:
    base = public.of(call)
    return ProtectedResource(
        resource=base + path,
        authorization_servers=(public.outside_issuer or base,),
        scopes_supported=tuple(sorted(scopes)),
        resource_name=name,
    )
