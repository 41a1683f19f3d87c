"""MCP servers outside the platform: where they are, what they offer, and what of it was approved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal, Protocol
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue, StringConstraints

from shared.strict_json import Json

# What stands between the name of a server, or an agent, and that of its tool.
SEPARATOR = "__"
ToolState = Literal["waiting", "approved", "changed", "withdrawn"]


# Neither with a separator in it nor at an end of it, where two names could be read as one.
ServerName = Annotated[
    str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$"), Field(examples=["weather"])
]


class OutsideTool(BaseModel):
    """`definition` is what the server says now, `approved` what callers see; `digest` is the SHA-256 of the former."""

    name: str
    state: ToolState
    digest: str
    definition: dict[str, JsonValue]
    approved: dict[str, JsonValue] | None
    approved_at: datetime | None
    changed_at: datetime | None


class McpServer(BaseModel):
    """`headers` are their names alone. `problems` are tools that were left out, each with the reason.

    `status`: whether it was reached when it was last asked for what it offers.
    """

    name: str
    url: str
    headers: list[str]
    status: Literal["unseen", "ok", "failing"]
    protocol: str | None
    instructions: str
    problems: list[str]
    last_error: str | None
    checked_at: datetime | None
    created_at: datetime
    tools: list[OutsideTool]


class McpServerList(BaseModel):
    servers: list[McpServer]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMcpServer:
    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Where a server is, and the headers that it is to be asked with."""

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A tool as its server describes it, cleaned. `digest` tells two of them apart."""

    name: str
    definition: Mapping[str, Json]
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All that a server offers. `problems`: what was left out, and why."""

    protocol: str
    instructions: str
    tools: Sequence[Definition]
    problems: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A tool that may be called, as it was approved."""

    server: str
    name: str
    definition: Mapping[str, Json]


class McpServers(Protocol):
    """Each act leaves its audit line, and its events, in the same transaction."""

    async def add(self, new: NewMcpServer, *, actor: UUID) -> McpServer:
        """Raises Conflict when the name is taken, or there are too many."""

    async def get(self, name: str) -> McpServer | None: ...

    async def list(self, *, limit: int, cursor: str | None) -> McpServerList:
        """By name. Raises Invalid for a cursor that is none of ours."""

    async def remove(self, name: str, *, actor: UUID) -> bool: ...

    async def approve(self, name: str, digests: Mapping[str, str], *, actor: UUID) -> McpServer | None:
        """Tools by name, each with the digest of what was looked at. Raises NotFound for no such tool, and Conflict
        where one is described otherwise by now: then none is approved."""

    async def refused(self, action: str, name: str, *, actor: UUID) -> None:
        """Records an act that was refused."""

    async def set_credentials(self, name: str, user_id: UUID, headers: Mapping[str, str]) -> bool:
        """False for no such server."""

    async def delete_credentials(self, name: str, user_id: UUID) -> bool: ...

    async def contact(self, name: str, *, user_id: UUID | None = None) -> Contact | None:
        """With the user's own headers in place of the server's, where they have some."""

    async def take_due(self, limit: int) -> Sequence[Contact]:
        """Those that are to be asked again for what they offer; nobody else gets them meanwhile."""

    async def seen(self, name: str, listing: Listing) -> Sequence[str]:
        """Records what it offers; returns the tools that were approved and are described otherwise now."""

    async def failed(self, name: str, error: str) -> None:
        """It could not be asked, and is asked again later each time."""

    async def offers(self) -> Sequence[Offer]:
        """All tools that may be called, by server and name."""

    async def offer(self, server: str, tool: str) -> Offer | None:
        """One that may be called; None for any other."""

    async def names(self) -> frozenset[str]:
        """Of all servers."""

    async def state(self, server: str, tool: str) -> ToolState | None:
        """None for no such tool."""
