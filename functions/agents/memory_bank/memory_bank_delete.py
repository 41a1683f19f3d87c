"""memory-bank/memory_bank_delete: a file less."""

from functions.agents.memory_bank._answers import Content, about_file
from functions.agents.memory_bank._names import file_of, project_of
from functions.agents.memory_bank._payloads import OneFile
from shared.errors import ToolError
from shared.function import Run, tool
from shared.ports.memory_bank import MemoryBank


class MemoryBankDelete(OneFile):
    pass


@tool(effect="write", timeout_s=15, destructive=True, idempotent=True)
async def memory_bank_delete(request: MemoryBankDelete, *, run: Run, memory_bank: MemoryBank) -> Content:
    """Delete a file for good; a project goes with its last."""
    project, file = project_of(request.project_name), file_of(request.file_name)
    if not await memory_bank.delete(run.user_id, project, file, execution_id=run.execution_id):
        raise ToolError(f"no file {file!r} in project {project!r}; list_project_files says which there are")
    return about_file(f"File {file} deleted from project {project}", project, file)
