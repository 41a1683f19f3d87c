"""everything/ledger: leaves one effect that can be counted from outside, and fails as it is asked to."""

import asyncio
from uuid import UUID

from pydantic import BaseModel, Field

from functions.agents.everything._failing import Asked, Failure, fail
from shared import strict_json
from shared.function import MIB, Run, tool
from shared.ports.egress import Egress
from shared.ports.ledger import Ledger


class LeaveEffect(Asked):
    failure: Failure = "none"
    url: str | None = Field(default=None, description="POSTed to once per attempt, with an Idempotency-Key")
    step: str = Field(default="effect", pattern=r"^[A-Za-z0-9_.-]{1,100}$")
    padding_bytes: int = Field(default=0, ge=0, le=10 * MIB, description="how much larger to make the result")


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
    """Take duration_ms, then call the URL, then leave the effect, then fail if asked to, in this order.

    So an attempt that failed has left its effect, but for one whose URL could not be reached. With 10 MiB of
    padding the result is larger than a result may be: the task fails, its effect is there.
    """
    for nap_s, percent in request.naps():
        await asyncio.sleep(nap_s)
        run.progress(percent, "waiting")
    url_status = None if request.url is None else await _call(request.url, request.step, run, egress)
    first = await ledger.write(run.user_id, run.execution_id, request.step, run.attempt)
    if request.fails_in(run.attempt):
        fail(request.failure)
    return Effect(
        execution_id=run.execution_id,
        step=request.step,
        attempt=run.attempt,
        first=first,
        url_status=url_status,
        padding="x" * request.padding_bytes or None,
    )


async def _call(url: str, step: str, run: Run, egress: Egress) -> int:
    headers = {"Content-Type": "application/json", "Idempotency-Key": run.key(step)}
    body = strict_json.dump({"execution_id": str(run.execution_id), "step": step, "attempt": run.attempt})
    return (await egress.request("POST", url, headers=headers, body=body, timeout_s=15)).status
