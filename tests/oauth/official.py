"""The official client with nothing but a server's URL, and somebody who signs in for it."""

from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import httpx2
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from tests.oauth.house import CALLBACK, Browser

Mode = Literal["auto", "legacy", "2026-07-28"]


@dataclass
class Kept:
    """What a program remembers between two starts."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@dataclass
class Desk:
    """The person at the browser that the program opens. `seen` counts how often they were asked."""

    http: httpx.AsyncClient
    origin: str
    name: str = "ada"
    seen: int = 0
    sent: dict[str, str] = field(default_factory=dict)

    async def sign_in(self, url: str) -> None:
        self.seen += 1
        decided = await Browser(self.http, origin=self.origin).agree(url, self.name)
        assert decided.location.startswith(CALLBACK)
        self.sent = decided.sent

    async def come_back(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult(code=self.sent["code"], state=self.sent["state"], iss=self.sent["iss"])


def provider(server: str, desk: Desk, kept: Kept, *, client_metadata_url: str | None = None) -> OAuthClientProvider:
    metadata = OAuthClientMetadata(client_name="Official", redirect_uris=[AnyUrl(CALLBACK)])
    return OAuthClientProvider(
        server, metadata, kept, desk.sign_in, desk.come_back, client_metadata_url=client_metadata_url
    )


async def echoed(server: str, auth: OAuthClientProvider, *, mode: Mode, transport: Any = None) -> tuple[str, str]:
    """The protocol's version, and what the tool has said."""
    async with (
        httpx2.AsyncClient(auth=auth, transport=transport, timeout=60, trust_env=False) as http,
        Client(streamable_http_client(server, http_client=http), mode=mode) as client,
    ):
        result = await client.call_tool("echo", {"message": "hello"})
        assert not result.is_error
        return client.protocol_version, str(result.content[0].model_dump()["text"])
