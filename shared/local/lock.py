"""The state folder: who holds it and how that one is ended, and the ports and passwords it remembers."""

import asyncio
import fcntl
import json
import os
import random
import secrets
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

_POLL_S = 0.05
_LOWEST_PICKED_PORT = 20_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class HomeInUse(RuntimeError):
    """The state folder is not ours to use: another process runs on it, or another user owns it."""


class PortTaken(RuntimeError):
    """A port that was asked for by number belongs to somebody else."""


@asynccontextmanager
async def locked(home: Path, *, wait_s: float = 10.0) -> AsyncIterator[None]:
    """Hold the state folder, creating it; waits for a dying predecessor, then raises HomeInUse."""
    descriptor = await _acquire(home, wait_s)
    try:
        yield
    finally:
        os.close(descriptor)


def holder(home: Path) -> int | None:
    """The process that holds the state folder; None when nobody does, 0 when it cannot be told who."""
    try:
        descriptor = os.open(home / "lock", os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        if _try_lock(descriptor):
            return None
        recorded = _recorded_supervisor(home)
        lockers = _lockers(os.fstat(descriptor).st_ino)
    finally:
        os.close(descriptor)
    if lockers is None:
        return recorded or 0
    return recorded if recorded in lockers else next(iter(lockers), 0)


async def stop_holder(home: Path, *, wait_s: float = 60.0) -> bool:
    """End the process that holds the state folder and wait for it; False when nobody held it."""
    pid = holder(home)
    if pid is None:
        return False
    if pid == 0:
        raise HomeInUse(f"{str(home)!r} is held by a process that cannot be seen from here")
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(wait_s):
            while holder(home) == pid:
                await asyncio.sleep(_POLL_S)
    except TimeoutError as exc:
        raise HomeInUse(f"process {pid} still runs on {str(home)!r} {wait_s:g} s after SIGTERM") from exc
    return True


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGINT, SIGTERM or SIGHUP cancels the block, as a timeout does, and the block then ends quietly."""
    task = asyncio.current_task()
    assert task is not None, "needs a running task"
    loop = asyncio.get_running_loop()
    received: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        # A second signal must not cut the orderly stop short: each of its waits is bounded.
        if not received:
            task.cancel()
        received.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    except asyncio.CancelledError:
        if not received or task.uncancel() > 0:
            raise
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def pick_port(home: Path, name: str, wanted: int = 0, *, wait_s: float = 3.0) -> int:
    """A free loopback port for `name`: the wanted one, else last time's, else a new one; remembered."""
    known = _remembered_ports(home)
    if wanted:
        await _until_free(wanted, name, wait_s)
        port = wanted
    else:
        last = known.get(name, 0)
        port = last if last and _is_free(last) else _new_port(set(known.values()))
    if known.get(name) != port:
        write_json(home / "run" / "ports.json", {**known, name: port})
    return port


def remembered_port(home: Path, name: str) -> int:
    """The port `name` was given last; raises LookupError when it never had one."""
    try:
        return _remembered_ports(home)[name]
    except KeyError:
        raise LookupError(f"no port is remembered for {name!r} in {str(home)!r}") from None


def password(home: Path, name: str) -> str:
    """The generated password `name`, safe inside a URL; made on first use, in a file only we can read."""
    path = home / "keys" / f"{name}.password"
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _replace(path, secrets.token_urlsafe(32))
    return path.read_text()


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Replace the file at once, so that a reader sees the old value or the new one."""
    path.parent.mkdir(exist_ok=True)
    _replace(path, json.dumps(value), mode=0o644)


def _replace(path: Path, text: str, mode: int = 0o600) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        # A password that is lost to a power cut locks its data away, so it must reach the disk first.
        os.fsync(descriptor)
        os.fchmod(descriptor, mode)
    os.replace(temporary, path)


async def _acquire(home: Path, wait_s: float) -> int:
    try:
        async with asyncio.timeout(wait_s):
            while (descriptor := _open_locked(home)) is None:
                await asyncio.sleep(_POLL_S)
    except TimeoutError as exc:
        raise HomeInUse(f"{str(home)!r} is in use by process {holder(home) or 'unknown'}") from exc
    except PermissionError as exc:
        raise HomeInUse(f"{str(home)!r} belongs to another user; set SUTAZAI_HOME to another folder") from exc
    return descriptor


def _open_locked(home: Path) -> int | None:
    # As root the servers run as another user, who has to pass through this folder but not to list it.
    home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    # A folder deleted and made again has another lock file: a lock on the old one keeps nobody out.
    if _try_lock(descriptor) and _is_current(descriptor, home / "lock"):
        return descriptor
    os.close(descriptor)
    return None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _recorded_supervisor(home: Path) -> int | None:
    try:
        pids = json.loads((home / "run" / "pids.json").read_text())
        return int(pids["supervisor"][0])
    except (FileNotFoundError, ValueError, KeyError, IndexError):
        return None


def _lockers(inode: int) -> set[int] | None:
    """Who holds a flock on that inode as the kernel tells it; None where it does not tell."""
    try:
        rows = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    fields = [row.split() for row in rows if " FLOCK " in row and "->" not in row]
    # The device is left out: on overlays and btrfs the one shown here is not the one stat() shows.
    return {int(row[4]) for row in fields if row[5].endswith(f":{inode}") and int(row[4]) > 0}


def _remembered_ports(home: Path) -> dict[str, int]:
    try:
        ports = json.loads((home / "run" / "ports.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {str(name): int(port) for name, port in ports.items()}


async def _until_free(port: int, name: str, wait_s: float) -> None:
    try:
        async with asyncio.timeout(wait_s):
            while not _is_free(port):
                await asyncio.sleep(_POLL_S)
    except TimeoutError as exc:
        raise PortTaken(f"port {port} for {name!r} is in use by another program") from exc


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Servers set it too; without it connections in TIME_WAIT make a port look taken for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _new_port(taken: set[int]) -> int:
    # Below the ephemeral range: there a client that keeps knocking while its server restarts can be
    # given the server's own port as its source, connect to itself and keep the server out.
    first_ephemeral = _first_ephemeral_port()
    candidates = range(_LOWEST_PICKED_PORT, first_ephemeral)
    for port in random.sample(candidates, min(len(candidates), 200)):
        if port not in taken and _is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _first_ephemeral_port() -> int:
    try:
        return int(_EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError):
        return 32_768
