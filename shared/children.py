"""Child processes for actions that block: started ahead, killed at the action's timeout, replaced when they die."""

import asyncio
import contextlib
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from shared import strict_json
from shared.errors import Unavailable
from shared.function import Spec
from shared.perform import RunContext, failed, timed_out
from shared.ports.tasks import Claimed, Outcome, TaskError
from shared.strict_json import Json

_START_S = 20.0


class _Died(Exception):
    """The child ended without an answer."""


class _Child:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, modules: Sequence[str]) -> Self:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "shared.child", *modules, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        child = cls(process)
        try:
            async with asyncio.timeout(_START_S):
                await child.read()
        except BaseException:
            await child.kill()
            raise
        return child

    async def ask(self, job: Json, run: RunContext) -> dict[str, Json]:
        assert self._process.stdin is not None
        body = strict_json.dump(job)
        self._process.stdin.write(struct.pack("!I", len(body)) + body)
        with contextlib.suppress(ConnectionError):
            await self._process.stdin.drain()
        while True:
            message = await self.read()
            outcome = message.get("outcome")
            if isinstance(outcome, dict):
                return outcome
            run.progress(float(str(message["progress"])), str(message["message"]))

    async def read(self) -> dict[str, Json]:
        assert self._process.stdout is not None
        try:
            size = struct.unpack("!I", await self._process.stdout.readexactly(4))[0]
            message = strict_json.load(await self._process.stdout.readexactly(size))
        except asyncio.IncompleteReadError as exc:
            raise _Died from exc
        assert isinstance(message, dict)
        return message

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        # The pipe's transport is closed by hand: its own finalizer would warn after the loop has gone.
        if self._process.stdin is not None:
            self._process.stdin.close()


class Children:
    """At most `size` children at once. They start when the first job comes, or by `start`."""

    def __init__(self, specs: Sequence[Spec], *, size: int) -> None:
        self._modules = [spec.module for spec in specs if runs_in_child(spec)]
        self._slots = asyncio.Semaphore(size)
        self._size = size
        self._idle: list[_Child] = []

    async def start(self) -> None:
        """Starts one child ahead where there is any use for it."""
        if self._modules and not self._idle:
            self._idle.append(await _Child.start(self._modules))

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().kill()

    async def run(self, spec: Spec, task: Claimed, run: RunContext, *, timeout_s: float, alone: bool) -> Outcome:
        """`alone`: in a child of its own, which ends with it. Cancelling kills the child."""
        job: Json = {
            "module": spec.module,
            "parameters": task.parameters,
            "user_id": str(task.user_id),
            "execution_id": str(task.id),
            "attempt": task.attempt,
            "timeout_s": timeout_s,
            "attempts_left": task.attempt < task.max_attempts,
        }
        try:
            async with self._slots, self._child(alone=alone) as child, asyncio.timeout(timeout_s + 0.25):
                outcome = await child.ask(job, run)
        except TimeoutError:
            return timed_out(timeout_s)
        except _Died:
            lost = Unavailable("the process of this tool ended before it had an answer")
            return failed(lost, attempt=task.attempt if task.attempt < task.max_attempts else None)
        error = outcome["error"]
        retry_in_s = outcome["retry_in_s"]
        return Outcome(
            "succeeded" if outcome["status"] == "succeeded" else "failed",
            outcome["result"],
            TaskError.model_validate(error) if error else None,
            float(str(retry_in_s)) if retry_in_s is not None else None,
        )

    @asynccontextmanager
    async def _child(self, *, alone: bool) -> AsyncIterator[_Child]:
        child = self._idle.pop() if self._idle and not alone else await _Child.start(self._modules)
        try:
            yield child
        except BaseException:
            await child.kill()
            raise
        if alone or len(self._idle) >= self._size:
            await child.kill()
        else:
            self._idle.append(child)


def runs_in_child(spec: Spec) -> bool:
    return not spec.is_async or spec.tool.effect == "exec"
