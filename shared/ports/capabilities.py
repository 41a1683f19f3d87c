"""Passing a caller on: what an agent is shown in place of the caller's own token."""

from collections.abc import Collection
from typing import Final, Protocol

from shared.function import Caller

HEADER: Final = b"sutazai-capability"


class Capabilities(Protocol):
    """Each is for one request, of one user, to one agent, and for no longer than a minute."""

    def issue(self, caller: Caller, *, agent: str, scopes: Collection[str], body: bytes) -> str:
        """With those of `scopes` that the caller has."""

    def verify(self, text: str, *, agent: str, body: bytes) -> Caller:
        """Who sent this body. Raises Unauthorized."""
