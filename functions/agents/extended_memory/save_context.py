"""extended-memory/save_context: something to be known later."""

from typing import Annotated

from pydantic import Field

from functions.agents.extended_memory._answers import Content, Facts, shown, text
from functions.agents.extended_memory._names import MAX_TAGS, project_of, tags_of
from shared.errors import ToolError
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.extended_memory import ExtendedMemory, NewContext

Importance = Annotated[int, Field(ge=1, le=10)]


class SaveContext(Payload):
    content: str = Field(min_length=1, max_length=100_000)
    importance_level: Importance = Field(default=5, description="10 matters most; load_contexts begins at 7")
    tags: list[str] | None = Field(default=None, max_length=MAX_TAGS, description="words to find it by")
    project_id: str | None = Field(default=None, description="what it belongs to; 'general' where nothing is said")


@tool(effect="write", timeout_s=15)
async def save_context(request: SaveContext, *, run: Run, memory: ExtendedMemory) -> Content:
    """Keep a text for later sessions: what was decided and done, what is open, and what must not be forgotten."""
    if not request.content.strip():
        raise ToolError("content is blank; there is nothing to keep")
    project, tags = project_of(request.project_id), tags_of(request.tags or ())
    new = NewContext(content=request.content, importance=request.importance_level, project=project, tags=tags)
    saved = await memory.save(run.user_id, new, execution_id=run.execution_id)
    lines = [
        "The context is kept.",
        f"- Context ID: {saved.context_id}",
        f"- Project: {project}",
        f"- Importance: {request.importance_level}/10",
        f"- Tags: {', '.join(tags) or 'none'}",
        f"- Saved at: {shown(saved.at)}",
    ]
    return text(lines, Facts(project_id=project, context_ids=(saved.context_id,)))
