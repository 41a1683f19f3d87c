"""Texts that a user keeps in projects; names come as the agent has decided them."""

from typing import Protocol
from uuid import UUID


class MemoryBank(Protocol):
    """Changes name the execution that makes them: done again by the same one, they change nothing and say the same.

    They raise ToolError where a user would have too much, and NotFound for a user who is gone.
    """

    async def projects(self, user_id: UUID) -> list[str]:
        """Those that hold a file, by name."""

    async def files(self, user_id: UUID, project: str) -> list[str]:
        """By name; none where there is no such project."""

    async def read(self, user_id: UUID, project: str, file: str) -> str | None: ...

    async def create(self, user_id: UUID, project: str, file: str, content: str, *, execution_id: UUID) -> bool:
        """False where the file exists."""

    async def update(self, user_id: UUID, project: str, file: str, content: str, *, execution_id: UUID) -> bool:
        """False where there is no such file."""

    async def delete(self, user_id: UUID, project: str, file: str, *, execution_id: UUID) -> bool:
        """False where there is no such file; a project goes with its last."""
