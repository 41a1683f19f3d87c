"""sequential-thinking/read_thoughts: what has been thought so far."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from functions.agents.sequential_thinking._words import Session
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.thoughts import Handle, Thought, Thoughts


class ReadThoughts(Payload):
    session_id: Session = Field(default="", alias="sessionId")
    branch_id: Handle | None = Field(default=None, alias="branchId", description="only what belongs to this branch")
    after: Annotated[int, Field(ge=0, le=2**31 - 1, description="a position: only what came later")] = 0
    limit: Annotated[int, Field(ge=1, le=200)] = 100


class Kept(Thought):
    """`position` in the session, from 1, which thoughtNumber need not be."""

    position: int


class History(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    thoughts: list[Kept]
    thought_history_length: int = Field(alias="thoughtHistoryLength")


@tool(effect="read", timeout_s=20)
async def read_thoughts(request: ReadThoughts, *, run: Run, thoughts: Thoughts) -> History:
    """Read back the thoughts of a session, oldest first; go on with `after` the last position of a full page."""
    passage = await thoughts.passage(
        run.user_id, request.session_id, branch=request.branch_id, after=request.after, limit=request.limit
    )
    return History(
        thoughts=[Kept(position=position, **thought.model_dump()) for position, thought in passage.numbered],
        thought_history_length=passage.thoughts,
    )
