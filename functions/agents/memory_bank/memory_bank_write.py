"""memory-bank/memory_bank_write: a new file."""

from functions.agents.memory_bank._answers import Content, about_file
from functions.agents.memory_bank._names import file_of, project_of
from functions.agents.memory_bank._payloads import WholeFile
from shared.errors import ToolError
from shared.function import Run, tool
from shared.ports.memory_bank import MemoryBank


class MemoryBankWrite(WholeFile):
    pass


@tool(effect="write", timeout_s=15)
async def memory_bank_write(request: MemoryBankWrite, *, run: Run, memory_bank: MemoryBank) -> Content:
    """Create a file, and its project where that is new; fails where the file exists."""
    project, file = project_of(request.project_name), file_of(request.file_name)
    created = await memory_bank.create(run.user_id, project, file, request.content, execution_id=run.execution_id)
    if not created:
        raise ToolError(f"file {file!r} exists in project {project!r}; memory_bank_update replaces its text")
    return about_file(f"File {file} written successfully to project {project}", project, file)
