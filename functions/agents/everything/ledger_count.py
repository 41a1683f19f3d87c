"""everything/ledger-count: how many effects an execution left."""

from uuid import UUID

from pydantic import BaseModel

from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.ledger import Ledger


class LedgerCount(Payload):
    execution_id: UUID


class Count(BaseModel):
    count: int


@tool(name="ledger-count", effect="read", timeout_s=10)
async def ledger_count(request: LedgerCount, *, run: Run, ledger: Ledger) -> Count:
    """Count the effects of one of the caller's executions; someone else's, like an unknown one, has 0."""
    return Count(count=await ledger.count(run.user_id, request.execution_id))
