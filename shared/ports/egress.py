"""Requests that leave the platform, to addresses that a user may have chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

MOST_REDIRECTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What the peer answered, unpacked. Names of headers are lower case; `url` is the one that answered.

    `redirects` is how many were followed to it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    redirects: int = 0


class Egress(Protocol):
    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout_s: float,
        redirects: int = 0,
    ) -> Response:
        """One request, never repeated; any status is an answer, a redirect too once `redirects` were followed none.

        Each redirect is checked as the URL was. Headers of the caller stay with the origin that they were meant for.
        Raises ToolError where the request is refused or the answer cannot be taken, Unavailable where the peer
        cannot be reached now.
        """


class Resolver(Protocol):
    async def resolve(self, host: str) -> Sequence[str]:
        """All addresses of a name, best first, as text. Raises ToolError for a name without any, and Unavailable."""
