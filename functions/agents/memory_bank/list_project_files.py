"""memory-bank/list_project_files: the notes on one project."""

from functions.agents.memory_bank._answers import Content, listed
from functions.agents.memory_bank._names import project_of
from functions.agents.memory_bank._payloads import InProject
from shared.errors import ToolError
from shared.function import Run, tool
from shared.ports.memory_bank import MemoryBank


class ListProjectFiles(InProject):
    pass


@tool(effect="read", timeout_s=10)
async def list_project_files(request: ListProjectFiles, *, run: Run, memory_bank: MemoryBank) -> Content:
    """Return the names of the files in a project."""
    project = project_of(request.project_name)
    files = await memory_bank.files(run.user_id, project)
    if not files:
        raise ToolError(f"no project {project!r}; list_projects says which there are, memory_bank_write begins one")
    return listed(files, project)
