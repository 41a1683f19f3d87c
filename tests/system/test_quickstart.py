"""The README's quickstart, as it is written."""

import json
import re
import subprocess
import time
from pathlib import Path

from tests.system.platform import REPOSITORY, Platform

_BLOCK = re.compile(r"^```sh quickstart\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_quickstart_works_as_written(tmp_path: Path) -> None:
    lines = "\n".join(_BLOCK.findall((REPOSITORY / "README.md").read_text()))
    with Platform(tmp_path / "home") as platform:
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines],
            env={"PATH": "/usr/bin:/bin:/usr/local/bin", "API": platform.api},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    answers = [json.loads(part) for part in ran.stdout.replace("}{", "}\n{").splitlines()]
    registered, written, read, history = (answer["data"] for answer in answers)
    assert registered["username"] == "ada"
    assert written["result"] == {"content": "Successfully wrote to first.txt"}, written
    assert read["result"] == {"content": "Hello."}
    assert [task["task"] for task in history["tasks"]] == ["read_text_file", "write_file"]


def test_a_warm_start_is_ready_within_five_seconds(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "home")
    with platform:
        first_api = platform.api
    began = time.monotonic()
    with platform:
        assert time.monotonic() - began < 5
        assert platform.api == first_api
