"""Pages that are kept in memory, and what they were kept for."""

from dataclasses import dataclass, field
from uuid import UUID

from shared.ports.pages import KeptPage


@dataclass
class KeptPages:
    kept: dict[tuple[UUID, str], KeptPage] = field(default_factory=dict)
    ttls_s: list[float] = field(default_factory=list)

    async def get(self, user_id: UUID, request: str) -> KeptPage | None:
        return self.kept.get((user_id, request))

    async def keep(self, user_id: UUID, request: str, page: KeptPage, *, ttl_s: float) -> None:
        self.kept[user_id, request] = page
        self.ttls_s.append(ttl_s)
