"""Requests that leave the platform, to addresses that a user may have chosen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What the peer answered. Names of headers are lower case; `url` is the one that answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class Egress(Protocol):
    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"", timeout_s: float
    ) -> Response:
        """One request, never repeated; any status is an answer.

        Raises ToolError where the request is refused or the answer cannot be taken, Unavailable where the peer
        cannot be reached now.
        """
