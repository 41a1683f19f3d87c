"""everything/slow_compute: for the conformance suite, a tool that takes its time."""

import asyncio

from pydantic import Field

from shared.content import Content, text
from shared.function import Run, tool
from shared.payload import Payload


class SlowCompute(Payload):
    seconds: float = Field(ge=0, le=100)
    label: str = "computation"


@tool(effect="read", timeout_s=110)
async def slow_compute(request: SlowCompute, *, run: Run) -> Content:
    """Take so many seconds, then say so."""
    run.progress(0, f"{request.label} is under way")
    await asyncio.sleep(request.seconds)
    return text(f"{request.label} took {request.seconds:g} s")
