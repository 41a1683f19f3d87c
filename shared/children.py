"""Child processes for actions that block: forked from a nursery, killed at the action's timeout."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import struct
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain

from shared import strict_json
from shared.child import dialogue_message, framed, hear, needed
from shared.dialogue import Questions
from shared.errors import Unavailable
from shared.function import Spec
from shared.perform import RunContext, failed, timed_out
from shared.ports.tasks import Claimed, Outcome, TaskError
from shared.strict_json import Json

logger = logging.getLogger("sutazai.children")

_START_S = 20.0
_WARM_AFTER_S = 0.5
# So long more children are kept than there are slots for those that block: after a loss there are many jobs in a row.
_IDLE_S = 5.0


class _Died(Exception):
    """The child ended without an answer, or none could be started."""


class _Child:
    def __init__(self, handle: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._handle = handle
        self._reader = reader
        self._writer = writer
        self.idle_since = 0.0

    @property
    def lives(self) -> bool:
        return not self._reader.at_eof()

    async def ask(self, job: Json, run: RunContext, *, timeout_s: float) -> dict[str, Json]:
        """Raises TimeoutError for nothing but `timeout_s`, and _Died when there will be no answer."""
        try:
            async with asyncio.timeout(timeout_s) as limit:
                self._writer.write(framed(job))
                while True:
                    message = await self._read()
                    outcome = message.get("outcome")
                    if isinstance(outcome, dict):
                        return outcome
                    hear(run, message)
        except TimeoutError as exc:
            if limit.expired():
                raise
            raise _Died from exc

    async def _read(self) -> dict[str, Json]:
        try:
            size = struct.unpack("!I", await self._reader.readexactly(4))[0]
            message = strict_json.load(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, OSError) as exc:
            raise _Died from exc
        assert isinstance(message, dict)
        return message

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        os.close(self._handle)
        self._writer.close()


class _Nursery:
    """The process that forks children; one that died is replaced when the next child is wanted."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = modules
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._serves = False
        # How many were asked for and not answered yet: what comes first may be for one who waits no longer.
        self._owed = 0
        self._asking = asyncio.Lock()

    async def child(self) -> _Child:
        """Raises _Died when none can be started; that ends no other child."""
        await self._asking.acquire()
        starting = asyncio.create_task(self._new())
        # A thread cannot be cancelled: until it has ended, nobody else may ask.
        starting.add_done_callback(lambda _: self._asking.release())
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_abandon)
            raise

    async def _new(self) -> _Child:
        try:
            if self._process is None or self._process.returncode is not None or not self._serves:
                await self._start()
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    handle = await asyncio.to_thread(self._fork, theirs)
                except BaseException:
                    ours.close()
                    raise
            reader, writer = await asyncio.open_connection(sock=ours)
        # A thread that cannot be started is a RuntimeError.
        except (OSError, RuntimeError) as exc:
            logger.warning("no child could be started: %r", exc)
            raise _Died from exc
        return _Child(handle, reader, writer)

    async def _start(self) -> None:
        await self._end()
        self._control, theirs = socket.socketpair()
        self._control.settimeout(_START_S)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "shared.child", *self._modules, stdin=theirs.fileno()
            )
        self._serves, self._owed = bool(await asyncio.to_thread(self._control.recv, 1)), 0

    def _fork(self, connection: socket.socket) -> int:
        """A handle of the new child. Raises ConnectionError when the nursery has ended, OSError when it lives on."""
        assert self._control is not None
        try:
            socket.send_fds(self._control, [b"f"], [connection.fileno()])
            self._owed += 1
            while self._owed > 1:
                # That child ends by itself: its connection is closed.
                for handle in self._answer(self._control):
                    os.close(handle)
            handles = self._answer(self._control)
        except ConnectionError:
            self._serves = False
            raise
        if not handles:
            raise OSError("no handle of a child came")
        return handles[0]

    def _answer(self, control: socket.socket) -> list[int]:
        said, handles, _, _ = socket.recv_fds(control, 1, 1)
        if not said:
            raise ConnectionResetError("the nursery has ended")
        self._owed -= 1
        return handles

    async def close(self) -> None:
        # Whoever is being answered hears of it at once.
        self._kill()
        async with self._asking:
            await self._end()

    async def _end(self) -> None:
        self._serves = False
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._kill()
            await self._process.wait()
            self._process = None

    def _kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


def _abandon(starting: asyncio.Task[_Child]) -> None:
    """Nobody takes the child that comes of this."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result().kill()


class Children:
    """At most `size` children at once for each agent, forked when they are wanted and kept for the next job."""

    def __init__(self, specs: Sequence[Spec], *, size: int) -> None:
        self._nursery = _Nursery([spec.module for spec in specs])
        self._wanted = any(map(runs_in_child, specs))
        # Of each agent: one whose actions block holds up no other's.
        self._slots = {spec.agent: asyncio.Semaphore(size) for spec in specs}
        # Of each agent too. Mostly actions that wait rather than block, and there are many after a worker has died.
        self.most_alone = size * 8
        self._slots_alone = {spec.agent: asyncio.Semaphore(self.most_alone) for spec in specs}
        self._size = size
        # By what their first job has let them see.
        self._idle: dict[frozenset[str], list[_Child]] = defaultdict(list)
        self._leaving = False
        self._hurry = asyncio.Event()
        self._warming: asyncio.Task[None] | None = None

    def warm(self) -> None:
        """Starts one child ahead where there is any use for it, once those who need none have been answered."""
        if self._wanted:
            self._warming = asyncio.create_task(self._warm())

    async def _warm(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), _WARM_AFTER_S)
        if not self._leaving:
            self._idle[frozenset()].append(await self._nursery.child())

    async def _warmed(self) -> None:
        """Whoever wants a child by then gets that one."""
        self._hurry.set()
        if self._warming is not None and not self._warming.done():
            await asyncio.wait([self._warming])

    async def close(self) -> None:
        self._leaving = True
        self._hurry.set()
        if self._warming is not None:
            # What is still being started would outlive us.
            (failure,) = await asyncio.gather(self._warming, return_exceptions=True)
            if isinstance(failure, Exception):
                logger.error("no child could be started ahead: %r", failure)
        for child in chain.from_iterable(self._idle.values()):
            child.kill()
        self._idle.clear()
        await self._nursery.close()

    async def run(self, spec: Spec, task: Claimed, run: RunContext, *, timeout_s: float, alone: bool) -> Outcome:
        """`alone`: beside those whose actions block, in slots of their own. Cancelling kills the child."""
        job: Json = {
            "module": spec.module,
            "parameters": task.parameters,
            "user_id": str(task.user_id),
            "execution_id": str(task.id),
            "attempt": task.attempt,
            "timeout_s": timeout_s,
            "attempts_left": task.attempt < task.max_attempts,
            "dialogue": dialogue_message(run.dialogue),
        }
        try:
            slots = self._slots_alone if alone else self._slots
            async with slots[spec.agent], self._child(needed(spec)) as child:
                outcome = await child.ask(job, run, timeout_s=timeout_s + 0.25)
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
            asks=_questions(outcome["asks"]),
            detaches=bool(outcome["detaches"]),
            record_away=bool(outcome["record_away"]),
        )

    @asynccontextmanager
    async def _child(self, sees: frozenset[str]) -> AsyncIterator[_Child]:
        """One of those who stand idle, or a new one. What has lived through its job is kept for the next."""
        await self._warmed()
        child = self._taken(sees) or await self._nursery.child()
        try:
            yield child
        except BaseException:
            child.kill()
            raise
        child.idle_since = asyncio.get_running_loop().time()
        self._idle[sees].append(child)
        if len(self._idle[sees]) > self._size:
            asyncio.get_running_loop().call_later(_IDLE_S, self._thin, sees)

    def _thin(self, sees: frozenset[str]) -> None:
        idle, now = self._idle[sees], asyncio.get_running_loop().time()
        # The first has stood idle longest, since the last is taken.
        while len(idle) > self._size and now - idle[0].idle_since >= _IDLE_S:
            idle.pop(0).kill()

    def _taken(self, sees: frozenset[str]) -> _Child | None:
        """An idle one that has not died meanwhile."""
        while self._idle[sees]:
            child = self._idle[sees].pop()
            if child.lives:
                return child
            child.kill()
        return None


def _questions(said: Json) -> Questions | None:
    if not isinstance(said, dict):
        return None
    assert isinstance(said["requests"], dict)
    return Questions(said["requests"], said["state"])


def runs_in_child(spec: Spec) -> bool:
    return not spec.is_async or spec.tool.effect == "exec"
