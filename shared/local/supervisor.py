"""Keep a platform's processes running: start in order, wait until they answer, restart, stop in reverse."""

import asyncio
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shared.local.lock import write_json

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.02
_PROBE_TIMEOUT_S = 2.0
_KILL_TIMEOUT_S = 10.0
_LOG_LIMIT_BYTES = 5_000_000
_TAIL_BYTES = 4_000
_STEADY_AFTER_S = 5.0
_LONGEST_BACK_OFF_S = 5.0


class ServiceFailed(RuntimeError):
    """A service did not come up; the message ends with the last lines of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process to keep running. `env` is its whole environment; None inherits ours."""

    name: str
    role: str
    argv: tuple[str, ...]
    ready: Callable[[], Awaitable[bool]]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    uid: int | None = None
    gid: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 10.0
    death_signal: signal.Signals = signal.SIGKILL
    """What the kernel sends it when the supervisor dies without a word."""
    start_timeout_s: float = 30.0
    start_retry_s: float = 0.0
    """For how long an early end whose log holds one of `transient` is tried again."""
    transient: tuple[str, ...] = ()
    before_start: Callable[[], None] | None = None
    restart: bool = True


@dataclass(slots=True)
class _Child:
    service: Service
    log: Path
    process: asyncio.subprocess.Process | None = None
    keeper: asyncio.Task[None] | None = None
    log_start: int = 0

    def tail(self) -> str:
        with self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self.log_start, size - _TAIL_BYTES))
            return log.read().decode(errors="replace").strip() or "(it wrote nothing)"


class Supervisor:
    """Runs services from entry to exit; `on_restart(name)` is called when one that died answers again."""

    def __init__(
        self,
        home: Path,
        services: Sequence[Service] = (),
        *,
        say: Callable[[str], None] = logger.info,
        on_restart: Callable[[str], None] | None = None,
    ) -> None:
        self._home = home
        self._services = services
        self._say = say
        self._on_restart = on_restart
        self._children: list[_Child] = []

    async def __aenter__(self) -> Self:
        self._write_pids()
        try:
            for service in self._services:
                await self.start(service)
        except BaseException:
            await self._stop_all()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stop_all()

    @property
    def pids(self) -> dict[str, list[int]]:
        """The running processes by role, ours included."""
        pids = {"supervisor": [os.getpid()]}
        for child in self._children:
            if child.process is not None and child.process.returncode is None:
                pids.setdefault(child.service.role, []).append(child.process.pid)
        return pids

    async def start(self, service: Service) -> None:
        """Start one more service and return once it answers; raises ServiceFailed."""
        log = self._home / "log" / f"{service.name}.log"
        log.parent.mkdir(mode=0o700, exist_ok=True)
        child = _Child(service, log)
        self._children.append(child)
        await self._launch(child)
        child.keeper = asyncio.create_task(self._keep(child), name=f"keep {service.name}")

    async def _launch(self, child: _Child) -> None:
        service = child.service
        now = asyncio.get_running_loop().time
        give_up = now() + service.start_retry_s
        while True:
            process = await self._spawn(child)
            if await self._comes_up(child, process):
                return
            tail = child.tail()
            if now() > give_up or not any(phrase in tail for phrase in service.transient):
                raise ServiceFailed(f"{service.name} {_ending(process)} before it answered:\n{tail}")
            await asyncio.sleep(0.25)

    async def _spawn(self, child: _Child) -> asyncio.subprocess.Process:
        service = child.service
        _rotate(child.log)
        if service.before_start is not None:
            service.before_start()
        with child.log.open("ab") as log:
            child.log_start = log.tell()
            try:
                child.process = await asyncio.create_subprocess_exec(
                    *service.argv,
                    env=service.env,
                    cwd=service.cwd,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=asyncio.subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=entering_child(service.uid, service.gid, service.death_signal),
                )
            except OSError as exc:
                raise ServiceFailed(f"{service.name} cannot be started: {exc}") from exc
        self._write_pids()
        return child.process

    async def _comes_up(self, child: _Child, process: asyncio.subprocess.Process) -> bool:
        service = child.service
        try:
            async with asyncio.timeout(service.start_timeout_s):
                while process.returncode is None:
                    # An answer counts only while ours runs: a predecessor may still hold the port.
                    if await _answers(service) and process.returncode is None:
                        return True
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as exc:
            await _kill(process)
            reason = f"{service.name} did not answer within {service.start_timeout_s:g} s"
            raise ServiceFailed(f"{reason}:\n{child.tail()}") from exc
        _kill_group(process.pid)
        return False

    async def _keep(self, child: _Child) -> None:
        loop = asyncio.get_running_loop()
        name = child.service.name
        failures = 0
        while child.process is not None:
            since = loop.time()
            await child.process.wait()
            _kill_group(child.process.pid)
            self._write_pids()
            if not child.service.restart:
                self._say(f"{name} {_ending(child.process)}")
                return
            failures = 0 if loop.time() - since > _STEADY_AFTER_S else failures + 1
            delay_s = _back_off_s(failures)
            self._say(f"{name} {_ending(child.process)}; starting it again")
            await asyncio.sleep(delay_s)
            await self._relaunch(child)

    async def _relaunch(self, child: _Child) -> None:
        name = child.service.name
        try:
            await self._launch(child)
            if self._on_restart is not None:
                self._on_restart(name)
        except ServiceFailed as exc:
            self._say(str(exc))
        except Exception:
            # The keeper is the only one who can bring the service back, so nothing may end it.
            logger.exception("could not bring back %s", name)

    async def _stop_all(self) -> None:
        while self._children:
            await self._stop(self._children[-1])
            self._children.pop()
        (self._home / "run" / "pids.json").unlink(missing_ok=True)

    async def _stop(self, child: _Child) -> None:
        if child.keeper is not None:
            child.keeper.cancel()
            await asyncio.wait({child.keeper})
        # The number of a process that ended earlier may be somebody else's by now.
        if child.process is None or child.process.returncode is not None:
            return
        _send(child.process.pid, child.service.stop_signal)
        try:
            async with asyncio.timeout(child.service.stop_timeout_s):
                await child.process.wait()
        except TimeoutError:
            self._say(f"{child.service.name} did not stop in time and is killed")
        await _kill(child.process)

    def _write_pids(self) -> None:
        write_json(self._home / "run" / "pids.json", self.pids)


def entering_child(
    uid: int | None, gid: int | None, death_signal: signal.Signals = signal.SIGKILL
) -> Callable[[], None]:
    """What a child does between fork and exec: become that user, and die when its parent dies."""
    parent = os.getpid()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def enter() -> None:
        if uid is not None and gid is not None:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        if libc is not None:
            # After the change of user, which clears it.
            libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return enter


async def _answers(service: Service) -> bool:
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            return await service.ready()
    except OSError:
        return False


async def _kill(process: asyncio.subprocess.Process) -> None:
    _kill_group(process.pid)
    async with asyncio.timeout(_KILL_TIMEOUT_S):
        await process.wait()


def _kill_group(pid: int) -> None:
    # Each child leads a session and so a group of its own; what it started must not outlive it.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _back_off_s(failures: int) -> float:
    # The first restart is immediate: most deaths are single ones, and callers are waiting.
    return min(0.1 * (2 ** min(failures, 10) - 2), _LONGEST_BACK_OFF_S) if failures else 0.0


def _ending(process: asyncio.subprocess.Process) -> str:
    code = process.returncode
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with {code}"


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        os.replace(log, log.with_suffix(".log.1"))
