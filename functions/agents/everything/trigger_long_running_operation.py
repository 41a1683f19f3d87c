"""everything/trigger-long-running-operation: time that passes in steps, each reported as progress."""

import asyncio

from pydantic import Field

from shared.content import Content, text
from shared.function import Run, tool
from shared.payload import Payload


class TriggerLongRunningOperation(Payload):
    duration: float = Field(default=10, ge=0, le=60, description="in seconds")
    steps: int = Field(default=5, ge=1, le=1000)


@tool(name="trigger-long-running-operation", effect="read", timeout_s=90)
async def trigger_long_running_operation(request: TriggerLongRunningOperation, *, run: Run) -> Content:
    """Take a while: `duration` seconds in `steps` equal steps, with progress after each."""
    for step in range(1, request.steps + 1):
        await asyncio.sleep(request.duration / request.steps)
        run.progress(100 * step / request.steps, f"step {step} of {request.steps}")
    said = f"The operation is complete. Duration: {request.duration:g} seconds, steps: {request.steps}."
    return text(said)
