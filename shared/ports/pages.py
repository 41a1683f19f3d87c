"""Pages that were fetched and may be shown again; whoever asks lives without them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPage:
    """An answer; times are seconds since 1970. Once it is no longer fresh its origin has to be asked."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    fetched_at: float
    fresh_until: float


class Pages(Protocol):
    async def get(self, user_id: UUID, request: str) -> KeptPage | None:
        """None too where nothing can be said at once."""

    async def keep(self, user_id: UUID, request: str, page: KeptPage, *, ttl_s: float) -> None:
        """Or not, where it is large or the cache is away."""
