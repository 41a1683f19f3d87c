"""The official SDK's server as its documentation builds it: stateless, JSON answers.

With MCP_DUTIES=1 it checks the caller's token and records each call, as ours does.
"""

import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import jwt
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import Context, MCPServer
from pydantic import AnyHttpUrl

DUTIES = bool(os.environ.get("MCP_DUTIES"))
KEY: Any = load_pem_public_key(os.environ["MCP_PUBLIC_KEY"].encode())
RECORD = "INSERT INTO sutazai.mcp_calls VALUES ($1, $2, 'everything', 'echo', $3, $4, 'succeeded', $5)"


class RememberedTokens:
    """A verified token holds for a second."""

    def __init__(self) -> None:
        self._verified: dict[str, tuple[float, AccessToken]] = {}

    async def verify_token(self, token: str) -> AccessToken | None:
        until, access = self._verified.get(token, (0.0, None))
        if access is None or until < time.monotonic():
            access = self._checked(token)
            self._verified[token] = (time.monotonic() + 1, access)
        return access

    def _checked(self, token: str) -> AccessToken:
        claims = jwt.decode(token, KEY, algorithms=["EdDSA"], audience="sutazai", issuer="https://sutazai.local")
        scopes = claims["scope"].split()
        return AccessToken(
            token=token, client_id=claims["sid"], scopes=scopes, expires_at=claims["exp"], subject=claims["sub"]
        )


@dataclass
class Opened:
    pool: Any


@asynccontextmanager
async def lifespan(_: MCPServer[Opened]) -> AsyncIterator[Opened]:
    async with asyncpg.create_pool(os.environ["SUTAZAI_POSTGRES_URL"], min_size=1, max_size=10) as pool:
        yield Opened(pool)


def bare() -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("everything", log_level="ERROR")

    @server.tool(structured_output=False)
    async def echo(message: str) -> str:
        """Return the message, to see that calls arrive and answers come back."""
        return f"Echo: {message}"

    return server


def dutiful() -> MCPServer[Opened]:
    here = AnyHttpUrl("http://127.0.0.1")
    auth = AuthSettings(
        issuer_url=here, resource_server_url=here, required_scopes=["agents:execute"], validate_token_resource=False
    )
    server = MCPServer("everything", log_level="ERROR", lifespan=lifespan, auth=auth, token_verifier=RememberedTokens())

    @server.tool(structured_output=False)
    async def echo(message: str, ctx: Context[Opened]) -> str:
        """Return the message, to see that calls arrive and answers come back."""
        began = time.perf_counter()
        said = f"Echo: {message}"
        access = get_access_token()
        assert access is not None
        await ctx.request_context.lifespan_context.pool.execute(
            RECORD,
            uuid4(),
            UUID(access.subject),
            json.dumps({"message": message}).encode(),
            json.dumps({"content": [{"type": "text", "text": said}]}).encode(),
            time.perf_counter() - began,
        )
        return said

    return server


app = (dutiful() if DUTIES else bare()).streamable_http_app(
    streamable_http_path="/mcp/everything", stateless_http=True, json_response=True
)
