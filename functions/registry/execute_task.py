"""POST /api/v1/agents/execute: asks an agent for a task, or agents for up to a hundred."""

from shared.execution import Execute, Execution, Executions, execute
from shared.function import HOT, Call, Caller, Reply, http
from shared.ports.limits import Limits
from shared.ports.tasks import TERMINAL, Tasks


@http("POST", "/api/v1/agents/execute", scope="agents:execute", keyed=False, timeout_s=75, scale=HOT)
async def execute_task(
    request: Execute, *, caller: Caller, call: Call, tasks: Tasks, limits: Limits
) -> Reply[Execution | Executions]:
    """Asks an agent for a task: 202 once it cannot be lost any more, 200 once it has ended where the caller waits."""
    key, wait_s = call.idempotency_key, call.wait_s
    found = await execute(request, caller=caller, key=key, wait_s=wait_s, tasks=tasks, limits=limits)
    status = found.status if isinstance(found, Execution) else "queued"
    return Reply(data=found, status=200 if status in TERMINAL else 202, message=status)
