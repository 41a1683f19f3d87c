"""Thoughts: what a user's agents think step by step, with revisions and branches, a session at a time."""

from dataclasses import dataclass
from typing import Annotated, Protocol
from uuid import UUID

from pydantic import Field

from shared.payload import Payload

THOUGHT_CHARACTERS = 20_000
MOST_THOUGHTS = 10_000
MOST_BRANCHES = 1000
MOST_SESSIONS = 1000
# As JSON: all of a session's thoughts fit into one task's result.
SESSION_BYTES = 8 << 20
# The session that callers who name none share begins anew after this, since nobody ends it.
UNNAMED_LASTS_S = 24 * 3600
NAMED_LASTS_S = 30 * 24 * 3600

# The largest whole number that every reader of JSON keeps exactly.
Count = Annotated[int, Field(ge=1, le=2**53 - 1)]
Handle = Annotated[str, Field(max_length=200)]


class Thought(Payload):
    """One step; its numbers are the thinker's own, and need neither be in order nor exist."""

    thought: str = Field(max_length=THOUGHT_CHARACTERS)
    thought_number: Count = Field(alias="thoughtNumber")
    total_thoughts: Count = Field(alias="totalThoughts")
    next_thought_needed: bool = Field(alias="nextThoughtNeeded")
    is_revision: bool | None = Field(default=None, alias="isRevision")
    revises_thought: Count | None = Field(default=None, alias="revisesThought")
    branch_from_thought: Count | None = Field(default=None, alias="branchFromThought")
    branch_id: Handle | None = Field(default=None, alias="branchId")
    needs_more_thoughts: bool | None = Field(default=None, alias="needsMoreThoughts")

    @property
    def branch(self) -> str | None:
        """The branch that it belongs to; one of the two alone makes none."""
        return self.branch_id or None if self.branch_from_thought else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A session right after one thought: how many there are, and its branches, oldest first."""

    thoughts: int
    branches: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Some thoughts of a session, each after its place from 1; `thoughts` says how many the session holds."""

    numbered: tuple[tuple[int, Thought], ...]
    thoughts: int


class Thoughts(Protocol):
    """A user's sessions by their handles; "" is the one of callers who name none."""

    async def append(self, user_id: UUID, execution_id: UUID, session: str, thought: Thought) -> Standing:
        """Once for each execution: a repeated one gets the first one's answer. Raises ToolError for a full session."""

    async def passage(self, user_id: UUID, session: str, *, branch: str | None, after: int, limit: int) -> Passage:
        """Oldest first. A session that never was, or was let go, is empty."""
