"""Effects of the ledger tool, which can be counted from outside."""

from typing import Protocol
from uuid import UUID


class Ledger(Protocol):
    async def write(self, user_id: UUID, execution_id: UUID, step: str, attempt: int) -> bool:
        """At most one effect per execution and step: False when an earlier attempt had left it already."""

    async def count(self, user_id: UUID, execution_id: UUID) -> int: ...
