"""Requests that leave the platform, to addresses that a user may have chosen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

MOST_REDIRECTS = 5

# The headers of an answer and a piece of its body: whether that was enough of it.
Heard = Callable[[Mapping[str, str], bytes], bool]


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


class Outside(Protocol):
    """As Egress, to servers that an operator has named and that may take their time."""

    async def check(self, url: str) -> None:
        """Raises ToolError where the URL is refused, Unavailable where its host cannot be looked up now."""

    async def converse(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float, heard: Heard
    ) -> Response:
        """One request, never repeated and never redirected; `heard` is told of the answer while it comes.

        Raises ToolError and Unavailable as Egress does.
        """


class Resolver(Protocol):
    async def resolve(self, host: str) -> Sequence[str]:
        """All addresses of a name, best first, as text. Raises ToolError for a name without any, and Unavailable."""
