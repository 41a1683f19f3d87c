"""sequential-thinking/sequentialthinking: one more thought."""

from pydantic import BaseModel, ConfigDict, Field

from functions.agents.sequential_thinking._words import Session, SpelledCount, SpelledTruth
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.thoughts import THOUGHT_CHARACTERS, Handle, Thought, Thoughts


class NextThought(Payload):
    thought: str = Field(max_length=THOUGHT_CHARACTERS)
    next_thought_needed: SpelledTruth = Field(alias="nextThoughtNeeded", description="whether to think on after this")
    thought_number: SpelledCount = Field(alias="thoughtNumber", description="which one this is, from 1")
    total_thoughts: SpelledCount = Field(alias="totalThoughts", description="how many it will take, as seen now")
    is_revision: SpelledTruth | None = Field(default=None, alias="isRevision")
    revises_thought: SpelledCount | None = Field(default=None, alias="revisesThought", description="the one it mends")
    branch_from_thought: SpelledCount | None = Field(default=None, alias="branchFromThought")
    branch_id: Handle | None = Field(default=None, alias="branchId", description="needs branchFromThought too")
    needs_more_thoughts: SpelledTruth | None = Field(default=None, alias="needsMoreThoughts")
    session_id: Session = Field(default="", alias="sessionId")


class Taken(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    thought_number: int = Field(alias="thoughtNumber")
    total_thoughts: int = Field(alias="totalThoughts")
    next_thought_needed: bool = Field(alias="nextThoughtNeeded")
    branches: list[str]
    thought_history_length: int = Field(alias="thoughtHistoryLength")


@tool(effect="write", timeout_s=20, title="Sequential thinking")
async def sequentialthinking(request: NextThought, *, run: Run, thoughts: Thoughts) -> Taken:
    """Think through a hard problem one step a call, and keep each step.

    Begin with a guess of totalThoughts, and change it whenever you know better. A step may go on from the last one,
    doubt or mend an earlier one (isRevision, revisesThought), or leave it on another way (branchFromThought with a
    branchId). Say what you are unsure of, put up a hypothesis, check it against your steps, and set
    nextThoughtNeeded to false only when the answer stands.
    """
    given = request.model_dump(exclude={"session_id"})
    given["total_thoughts"] = max(request.thought_number, request.total_thoughts)
    thought = Thought.model_validate(given)
    standing = await thoughts.append(run.user_id, run.execution_id, request.session_id, thought)
    return Taken(
        thought_number=thought.thought_number,
        total_thoughts=thought.total_thoughts,
        next_thought_needed=thought.next_thought_needed,
        branches=list(standing.branches),
        thought_history_length=standing.thoughts,
    )
