"""everything/protocol_error_job: for the conformance suite, a task that breaks."""

from shared.content import Content
from shared.function import tool


@tool(effect="read", timeout_s=10, task="optional")
async def protocol_error_job() -> Content:
    """Break, as no tool should."""
    raise RuntimeError("this job always breaks")
