"""extended-memory/list_all_projects: what contexts belong to."""

from functions.agents.extended_memory._answers import Content, shown, text
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.extended_memory import ExtendedMemory


class ListAllProjects(Payload):
    pass


@tool(effect="read", timeout_s=15)
async def list_all_projects(request: ListAllProjects, *, run: Run, memory: ExtendedMemory) -> Content:
    """Return your projects with how many contexts each holds and when one was last saved, the latest first."""
    projects = await memory.projects(run.user_id)
    if not projects:
        return text(["No projects: nothing has been saved yet."])
    lines = [f"{len(projects)} projects:"]
    for project in projects:
        count = f"{project.contexts} context{'s' if project.contexts != 1 else ''}"
        lines.append(f"- {project.name} ({count}, last {shown(project.last_activity)})")
    return text(lines)
