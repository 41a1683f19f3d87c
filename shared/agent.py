"""An agent's replica behind HTTP: wake-ups at `/`, and its actions for callers who wait."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from events.tasks import TaskQueued
from shared import cloud_events, strict_json
from shared.asgi import Answer, Request, success
from shared.errors import Invalid
from shared.function import MIB, Spec
from shared.gate import Gate
from shared.mcp.agent import server_for
from shared.wiring import Ports
from shared.worker import BUDGET_S, Worker


class AgentEndpoints:
    """Opens one worker for all actions; `wake_up`, `attached` and `mcp` are what routes lead to."""

    def __init__(self, actions: tuple[Spec, ...]) -> None:
        self._actions = actions
        self.wake_up = WakeUpEndpoint(actions[0].agent)
        self.attached = [AttachedEndpoint(spec) for spec in actions]
        self.mcp = server_for(actions)
        self._worker: Worker | None = None

    def stop(self) -> None:
        if self._worker is not None:
            self._worker.stop()

    @asynccontextmanager
    async def opened(self, ports: Ports) -> AsyncIterator[None]:
        async with Worker(self._actions, ports=ports) as worker:
            self._worker = self.wake_up.worker = worker
            for endpoint in self.attached:
                endpoint.worker = worker
                await endpoint.gate.open(ports)
            await self.mcp.serve(ports, worker)
            yield


class WakeUpEndpoint:
    """A CloudEvent says that there is work: 204 once nothing is claimable, 503 when the record cannot be reached."""

    worker: Worker
    timeout_s = BUDGET_S + 330.0

    def __init__(self, agent: str) -> None:
        self._agent = agent

    async def answer(self, request: Request, path: Mapping[str, str]) -> Answer:
        event = cloud_events.decode(request.headers, await request.body(MIB))
        # Any other event reached us by mistake; refused, it would come again and again.
        if event.type == TaskQueued.type and event.agent in (None, self._agent):
            await self.worker.drain(self._agent)
        return Answer(204)


class AttachedEndpoint:
    """POST /<tool>: runs here and now; the answer is the ended task."""

    worker: Worker

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.gate = Gate(spec.tool.scope)
        self.timeout_s = spec.timeout_s + 5.0

    async def answer(self, request: Request, path: Mapping[str, str]) -> Answer:
        caller = await self.gate.caller(request)
        body = await request.body(MIB)
        parameters = strict_json.parse(body) if body else {}
        if not isinstance(parameters, dict):
            raise Invalid("the body is not a JSON object")
        task_id, outcome = await self.worker.attached(self.spec, caller.user_id, parameters)
        data = {
            "task_id": str(task_id),
            "agent_id": self.spec.agent,
            "status": outcome.status,
            "result": outcome.result,
            "error": outcome.error.model_dump() if outcome.error else None,
        }
        return success(request.request_id, strict_json.dump(data), status=200)
