"""Contexts that a user's models leave for their next sessions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContext:
    """`project` and `tags`, each once and sorted, come as the agent has decided their spelling."""

    content: str
    importance: int
    project: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """`context_id` counts from 1 for each user."""

    context_id: int
    content: str
    importance: int
    tags: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    context_id: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """`total` counts what was asked for on all pages, `lesser` what was left out for its importance alone."""

    contexts: tuple[Context, ...]
    total: int
    lesser: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    name: str
    contexts: int
    last_activity: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    name: str
    uses: int


class ExtendedMemory(Protocol):
    """Changes name the execution that makes them: done again by the same one, they change nothing and say the same."""

    async def save(self, user_id: UUID, new: NewContext, *, execution_id: UUID) -> Saved:
        """Raises ToolError where the user would have too much, and NotFound for one who is gone."""

    async def load(
        self,
        user_id: UUID,
        project: str,
        *,
        least_importance: int,
        any_tag: Sequence[str],
        limit: int,
        offset: int,
        limit_bytes: int,
    ) -> Loaded:
        """The most important first, of these the newest; at least one, and no more than `limit_bytes` of content.

        `any_tag`: those with one of these tags; none asks for all.
        """

    async def forget(self, user_id: UUID, context_id: int, *, execution_id: UUID) -> bool:
        """False where there is no such context."""

    async def projects(self, user_id: UUID) -> list[Project]:
        """Those that hold a context, the last used first."""

    async def tags(self, user_id: UUID, project: str, *, limit: int, least_uses: int) -> list[Tag]:
        """The most used first, of these the last used."""
