"""GET /api/v1/dead-letters: what was refused for good, newest first."""

from pydantic import Field

from shared.function import http
from shared.payload import Payload
from shared.ports.dead_letters import DeadLetterList, DeadLetters, Reason


class ListDeadLetters(Payload):
    """A page may hold fewer than `limit` where events are large; only `next_cursor` tells whether there are more."""

    reason: Reason | None = None
    agent: str | None = Field(default=None, max_length=64)
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=200)


@http("GET", "/api/v1/dead-letters", scope="dead_letters:read")
async def list_dead_letters(request: ListDeadLetters, *, dead_letters: DeadLetters) -> DeadLetterList:
    """Events, tasks and callbacks that were refused for good, and bodies that nobody can read, newest first."""
    return await dead_letters.list(
        reason=request.reason, agent=request.agent, limit=request.limit, cursor=request.cursor
    )
