"""Ports that tests fill in by hand; each keeps what it was told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from shared.errors import ToolError
from shared.perform import RunContext
from shared.ports.egress import Response

ADA, EXECUTION = UUID(int=1), UUID(int=2)


@dataclass
class FakeRun(RunContext):
    """`reported` is the progress, oldest first. Nobody can be asked, but by whoever gives it a dialogue."""

    user_id: UUID = ADA
    execution_id: UUID = EXECUTION
    attempt: int = 1
    reported: list[tuple[float, str]] = field(default_factory=list)

    def progress(self, percent: float, message: str = "") -> None:
        self.reported.append((percent, message))


@dataclass
class FakeLedger:
    """`effects`: by execution and step, whose it is and the attempt that left it."""

    effects: dict[tuple[UUID, str], tuple[UUID, int]] = field(default_factory=dict)

    async def write(self, user_id: UUID, execution_id: UUID, step: str, attempt: int) -> bool:
        mine = (user_id, attempt)
        first = (execution_id, step) not in self.effects
        self.effects.setdefault((execution_id, step), mine)
        return first

    async def count(self, user_id: UUID, execution_id: UUID) -> int:
        return sum(key[0] == execution_id and owner == user_id for key, (owner, _) in self.effects.items())


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class FakeEgress:
    """Answers, or raises, what `answers` holds for a URL; refuses every other URL."""

    answers: Mapping[str, Response | Exception] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

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
        if url not in self.answers:
            raise ToolError(f"{url!r} is not among the addresses that may be reached from here")
        self.requests.append(Request(method, url, headers, body))
        answer = self.answers[url]
        if isinstance(answer, Exception):
            raise answer
        return answer


def answered(status: int = 200, body: bytes = b"", url: str = "http://192.0.2.1:80/") -> Response:
    return Response(status=status, headers={}, body=body, url=url)
