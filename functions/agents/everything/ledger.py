"""everything/ledger: leaves one effect that can be counted from outside, and fails as it is asked to."""

from uuid import UUID

from pydantic import BaseModel, Field

from functions.agents.everything._failing import Asked, Failure, confirm, fail
from shared import strict_json
from shared.function import MIB, Run, tool
from shared.ports.egress import Egress
from shared.ports.ledger import Ledger


class LeaveEffect(Asked):
    failure: Failure = "none"
    url: str | None = Field(default=None, description="POSTed to once per attempt, with an Idempotency-Key")
    step: str = Field(default="effect", pattern=r"^[A-Za-z0-9_.-]{1,100}$")
    padding_bytes: int = Field(default=0, ge=0, le=10 * MIB, description="how much larger to make the result")
    confirm: bool = Field(default=False, description="ask the client first, and do nothing if it declines")


class Effect(BaseModel):
    """`first`: this attempt left the effect, none before it had. `url_status`: what the URL answered."""

    execution_id: UUID
    step: str
    attempt: int
    first: bool
    url_status: int | None = None
    padding: str | None = None


@tool(effect="network", timeout_s=300)
async def ledger(request: LeaveEffect, *, run: Run, ledger: Ledger, egress: Egress) -> Effect:
    """Ask if asked to, take duration_ms, then call the URL, leave the effect, and fail if asked to, in this order.

    An attempt that failed has left its effect, unless its URL could not be reached; 10 MiB of padding are too many.
    """
    if request.confirm:
        confirm(run)
    await request.pass_time(run)
    status = None if request.url is None else await _call(request.url, request.step, run, egress)
    first = await ledger.write(run.user_id, run.execution_id, request.step, run.attempt)
    if request.fails_in(run.attempt):
        fail(request.failure)
    return Effect(
        execution_id=run.execution_id,
        step=request.step,
        attempt=run.attempt,
        first=first,
        url_status=status,
        padding="x" * request.padding_bytes or None,
    )


async def _call(url: str, step: str, run: Run, egress: Egress) -> int:
    headers = {"Content-Type": "application/json", "Idempotency-Key": run.key(step)}
    body = strict_json.dump({"execution_id": str(run.execution_id), "step": step, "attempt": run.attempt})
    return (await egress.request("POST", url, headers=headers, body=body, timeout_s=15)).status
