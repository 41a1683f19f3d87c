"""memory-bank/memory_bank_update: another text for a file."""

from functions.agents.memory_bank._answers import Content, about_file
from functions.agents.memory_bank._names import file_of, project_of
from functions.agents.memory_bank._payloads import WholeFile
from shared.errors import ToolError
from shared.function import Run, tool
from shared.ports.memory_bank import MemoryBank


class MemoryBankUpdate(WholeFile):
    pass


@tool(effect="write", timeout_s=15, destructive=True, idempotent=True)
async def memory_bank_update(request: MemoryBankUpdate, *, run: Run, memory_bank: MemoryBank) -> Content:
    """Replace the whole text of a file that exists."""
    project, file = project_of(request.project_name), file_of(request.file_name)
    updated = await memory_bank.update(run.user_id, project, file, request.content, execution_id=run.execution_id)
    if not updated:
        raise ToolError(f"no file {file!r} in project {project!r}; memory_bank_write creates it")
    return about_file(f"File {file} updated successfully in project {project}", project, file)
