"""extended-memory/forget_context: something not to be known any more."""

from pydantic import Field

from functions.agents.extended_memory._answers import Content, text
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.extended_memory import ExtendedMemory


class ForgetContext(Payload):
    # What a client in JavaScript can say without rounding.
    context_id: int = Field(ge=-(2**53 - 1), le=2**53 - 1)


@tool(effect="write", timeout_s=15, destructive=True, idempotent=True)
async def forget_context(request: ForgetContext, *, run: Run, memory: ExtendedMemory) -> Content:
    """Delete one context for good; its ID stands in what save_context and load_contexts answer."""
    forgotten = await memory.forget(run.user_id, request.context_id, execution_id=run.execution_id)
    said = "The context is forgotten." if forgotten else "Context not found: there is none, or it was forgotten before."
    return text([said, f"- Context ID: {request.context_id}"])
