"""Sessions of browsers: a code that is used once becomes the handle in a cookie, which only the UI can use."""

from typing import Protocol
from uuid import UUID

from shared.ports.sessions import Active

CODE_S = 30


class UiSessions(Protocol):
    """Codes and handles are stored as hashes only, and end with the session that they stand for."""

    def admits(self, origin: str | None) -> bool:
        """Whether pages of that origin are the UI's."""

    async def offer(self, user_id: UUID, session_id: UUID) -> str:
        """A code for the caller's session; an older one, and the handle that came of it, are void."""

    async def open(self, code: str) -> tuple[str, Active]:
        """The handle for a code. Raises Unauthorized for one that is unknown, used, or older than CODE_S."""

    async def exchange(self, handle: str, ui_key: str) -> Active:
        """The session behind a handle, which counts as used now.

        Raises Unauthorized unless the UI's own key comes with it, and when the session has ended.
        """
