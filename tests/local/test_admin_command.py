"""`python -m functions admin`: the first administrator of a platform on a cluster, and its password nowhere."""

import asyncio
import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from shared.config import Settings
from shared.stores.postgres.database import connect
from tests.people import PASSWORD, Place, at
from tests.system.platform import REPOSITORY

EMAIL = "root@example.org"


def _admin(settings: Settings, *arguments: str, given: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """As a pod or a container starts it: what the environment names, and nothing else."""
    told = {"SUTAZAI_POSTGRES_URL": settings.postgres_url, "SUTAZAI_KEYS_DIR": str(settings.keys_dir), **environ}
    return subprocess.run(
        [sys.executable, "-m", "functions", "admin", *arguments],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "HOME": "/tmp", **told},
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
    )


def _roles(settings: Settings, login: str, password: str = PASSWORD) -> tuple[str, ...]:
    async def scenario(here: Place) -> tuple[str, ...]:
        return tuple((await here.login(login, password=password)).user.roles)

    return at(settings, scenario)


def _users(settings: Settings) -> int:
    async def scenario() -> int:
        connection = await connect(settings.postgres_url)
        try:
            found: int = await connection.fetchval("SELECT count(*) FROM users")
            return found
        finally:
            await connection.close()

    return asyncio.run(scenario())


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_whoever_is_named_logs_in_with_the_password_of_standard_input(settings: Settings, ending: str) -> None:
    done = _admin(settings, "Root@example.org", "--username", "ada", given=f"{PASSWORD}{ending}")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"administrator: {EMAIL}\n", "")
    assert _roles(settings, EMAIL) == _roles(settings, "ada") == ("admin",)


def test_the_password_can_lie_in_a_file(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "admin-password"
    file.write_text(f"{PASSWORD}\n")
    done = _admin(settings, EMAIL, "--password-file", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"administrator: {EMAIL}\n", "")
    assert _roles(settings, "admin") == ("admin",)


def test_a_second_time_nothing_is_changed_and_that_is_no_failure(settings: Settings) -> None:
    assert _admin(settings, EMAIL, given=PASSWORD).returncode == 0
    done = _admin(settings, "other@example.org", given=f"{PASSWORD}-2")
    assert (done.returncode, done.stdout) == (0, "there is an administrator already: nothing was changed\n")
    assert _roles(settings, EMAIL) == ("admin",)
    assert _users(settings) == 1


@pytest.mark.parametrize(
    "arguments, given, said",
    [
        (("root",), PASSWORD, "no e-mail address"),
        ((EMAIL, "--username", "no name"), PASSWORD, "'no name' is no username"),
        ((EMAIL,), "password", "first to be guessed"),
        ((EMAIL,), "", "standard input holds no single line"),
        ((EMAIL,), f"{PASSWORD}\n{PASSWORD}\n", "standard input holds no single line"),
        ((EMAIL,), "x" * 5000, "8 to 128 characters"),
        ((EMAIL, "--password-file", "/nowhere/password"), "", "'/nowhere/password' cannot be read"),
    ],
)
def test_what_will_not_do_is_told_in_a_line_and_makes_nobody(
    settings: Settings, arguments: tuple[str, ...], given: str, said: str
) -> None:
    done = _admin(settings, *arguments, given=given)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (78, "", 1)
    assert said in done.stderr and PASSWORD not in done.stderr
    assert _users(settings) == 0


def test_an_address_of_a_plain_user_makes_no_administrator(settings: Settings) -> None:
    async def registered(here: Place) -> None:
        await here.register("ada")

    at(settings, registered)
    done = _admin(settings, "ada@example.org", given=PASSWORD)
    assert (done.returncode, "belongs to another user" in done.stderr) == (78, True)
    assert _roles(settings, "ada") == ("user",)


def test_while_the_database_lags_behind_it_fails_so_that_it_is_tried_again(settings: Settings) -> None:
    async def forget() -> None:
        connection = await connect(settings.postgres_url)
        await connection.execute("DELETE FROM migrations WHERE number > 1")
        await connection.close()

    asyncio.run(forget())
    done = _admin(settings, EMAIL, given=PASSWORD)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "the database is at migration 1" in done.stderr


def test_at_a_terminal_the_password_is_asked_for_twice_and_shown_to_nobody(settings: Settings) -> None:
    environ = {"SUTAZAI_POSTGRES_URL": settings.postgres_url, "SUTAZAI_KEYS_DIR": str(settings.keys_dir)}
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "functions", "admin", EMAIL]
    environ = {"PATH": os.environ["PATH"], "HOME": "/tmp", **environ}
    asking = subprocess.Popen(
        command, cwd=REPOSITORY, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    shown = b""
    for question in (b"password: ", b"once more: "):
        while not shown.endswith(question):
            shown += os.read(ours, 1000)
        os.write(ours, f"{PASSWORD}\n".encode())
    # So ends a terminal whose last process has gone.
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 1000):
            shown += piece
    os.close(ours)
    assert asking.wait(60) == 0
    assert PASSWORD.encode() not in shown
    assert f"administrator: {EMAIL}".encode() in shown
    assert _roles(settings, EMAIL) == ("admin",)
