"""What a function that checks a caller imports before its first answer."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

OPENED = """
import asyncio, sys
from pathlib import Path
from shared.catalog import find
from shared.config import Settings
from shared.ports.sessions import Sessions
from shared.ports.tokens import Tokens
from shared.wiring import Ports

async def main(name, folder):
    home = Path(folder)
    settings = Settings(home=home, keys_dir=home, files_dir=home, postgres_url="postgresql://nowhere/x",
                        redis_url="redis://nowhere/0")
    async with Ports(settings) as ports:
        spec = find(name)
        for port in (Tokens, Sessions, *spec.ports.values()):
            if port.__module__.startswith("shared.ports."):
                await ports.open(port)
    print(*sorted(name for name in sys.modules if "." not in name))

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


@pytest.mark.parametrize("name", ["get_me", "login", "list_users", "logout"])
def test_slow_libraries_are_left_for_after_the_start(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OPENED, name, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not {"redis", "argon2", "zxcvbn", "opentelemetry", "fastapi"} & set(done.stdout.split())


@pytest.mark.parametrize("name", ["get_me", "login", "refresh", "register", "update_user"])
def test_importing_a_function_loads_no_driver(name: str) -> None:
    program = "import sys; from shared.catalog import find; find(sys.argv[1]); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, name], capture_output=True, text=True, cwd=REPOSITORY, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert not {"redis", "argon2", "zxcvbn", "asyncpg", "jwt", "cryptography"} & set(done.stdout.split())
