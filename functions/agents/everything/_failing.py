"""What the two ledger tools are asked alike: how long to take, whether to ask back, and in which attempts to fail."""

import asyncio
from collections.abc import Iterator
from math import ceil
from typing import Literal

from pydantic import Field

from shared.asking import filled_in, form
from shared.errors import ToolError, Unavailable
from shared.function import Run
from shared.payload import Payload

Failure = Literal["none", "tool_error", "exception", "unavailable"]

_LONGEST_NAP_MS = 500
_QUESTION = form("Shall an effect be left?", {})


class Asked(Payload):
    duration_ms: int = Field(default=0, ge=0, le=120_000)
    fail_attempts: int | None = Field(
        default=None, ge=0, description="fail in the first so many attempts only; absent: in every one"
    )

    def fails_in(self, attempt: int) -> bool:
        return self.fail_attempts is None or attempt <= self.fail_attempts

    def naps(self) -> Iterator[tuple[float, float]]:
        """Seconds to sleep, and the percentage of the duration that is then over; together the duration."""
        count = ceil(self.duration_ms / _LONGEST_NAP_MS)
        for number in range(1, count + 1):
            yield self.duration_ms / 1000 / count, 100 * number / count

    async def pass_time(self, run: Run) -> None:
        for nap_s, percent in self.naps():
            await asyncio.sleep(nap_s)
            run.progress(percent, "waiting")


def confirm(run: Run) -> None:
    if filled_in(run.ask({"confirm": _QUESTION})["confirm"]) is None:
        raise ToolError("the client did not confirm, so nothing was done")


def fail(failure: Failure) -> None:
    if failure == "tool_error":
        raise ToolError("this tool error was asked for")
    if failure == "unavailable":
        raise Unavailable("this unavailability was asked for")
    if failure == "exception":
        raise RuntimeError("this exception was asked for")
