"""extended-memory/get_popular_tags: how contexts have been tagged so far."""

from pydantic import Field

from functions.agents.extended_memory._answers import Content, text
from functions.agents.extended_memory._names import project_of
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.extended_memory import ExtendedMemory


class GetPopularTags(Payload):
    limit: int = Field(default=20, ge=1, le=1000)
    min_usage: int = Field(default=1, ge=1, le=1_000_000, description="how many contexts must have a tag")
    project_id: str | None = Field(default=None, description="'general' where nothing is said")


@tool(effect="read", timeout_s=15)
async def get_popular_tags(request: GetPopularTags, *, run: Run, memory: ExtendedMemory) -> Content:
    """Return the tags of a project's contexts and how many have each, the most used first."""
    project = project_of(request.project_id)
    tags = await memory.tags(run.user_id, project, limit=request.limit, least_uses=request.min_usage)
    if not tags:
        return text([f"No tags in project '{project}' that {request.min_usage} or more of its contexts have."])
    return text([f"Tags of project '{project}':", *(f"- {tag.name} ({tag.uses})" for tag in tags)])
