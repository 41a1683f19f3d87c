"""The README's quickstart, as it is written."""

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.system.platform import REPOSITORY, Platform

_BLOCK = re.compile(r"^```sh quickstart\n(.*?)^```", re.MULTILINE | re.DOTALL)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address at which `python3 -m http.server` serves a folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_the_quickstart_works_as_written(tmp_path: Path) -> None:
    lines = "\n".join(_BLOCK.findall((REPOSITORY / "README.md").read_text()))
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "index.html").write_text("<title>A page</title><p>From here.</p>")
    with serving(pages) as peer, Platform(tmp_path / "home", SUTAZAI_EGRESS_ALLOW=peer) as platform:
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines],
            env={"PATH": "/usr/bin:/bin:/usr/local/bin", "API": platform.api, "PEER": peer},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    answers = [json.loads(part) for part in ran.stdout.replace("}{", "}\n{").splitlines()]
    registered, written, read, history, fetched = (answer["data"] for answer in answers)
    assert registered["username"] == "ada"
    assert written["result"] == {"content": "Successfully wrote to first.txt"}, written
    assert read["result"] == {"content": "Hello."}
    assert [task["task"] for task in history["tasks"]] == ["read_text_file", "write_file"]
    assert "From here." in fetched["result"]["content"][0]["text"], fetched


def test_a_warm_start_is_ready_within_five_seconds(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "home")
    with platform:
        first_api = platform.api
    began = time.monotonic()
    with platform:
        assert time.monotonic() - began < 5
        assert platform.api == first_api
