"""Passwords: hashing them, comparing them, refusing those that are guessed first."""

from typing import Protocol


class Passwords(Protocol):
    """Every hash is slow by design and few run at once. Raises RateLimited when too many wait."""

    async def hash(self, password: str, *, personal: tuple[str, ...] = ()) -> str:
        """Raises Invalid for what is too short, too long or easily guessed; `personal` is guessed first."""

    async def rehash(self, password: str) -> str:
        """The hash of a password that is in use already, and so is not judged again."""

    async def verify(self, password: str, hashed: str) -> bool: ...

    async def verify_unknown(self, password: str) -> None:
        """Costs what `verify` costs, for a login that nobody has."""

    def needs_rehash(self, hashed: str) -> bool:
        """Whether it was made with other parameters than today's."""
