"""An attacker swaps a folder for a link to outside while we read and write through it: nothing gets by."""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from shared.config import Settings
from shared.errors import ToolError
from shared.ports.files import UserFiles
from shared.stores import _beneath
from shared.stores.files import FolderFiles

TRIES = int(os.environ.get("SUTAZAI_RACE_TRIES", "3000"))
USER = UUID(int=7)
INSIDE, CANARY = b"INSIDE", b"CANARY"

# One swap is one rename each way, so that `gate` is by turns a folder, a link that leads out, and not there.
ATTACK = """
import os, shutil, sys
gate, spare, trap = (os.path.join(sys.argv[1], name) for name in ("gate", "spare", "trap"))
def put(here, there):
    while True:
        try:
            return os.rename(here, there)
        except OSError:  # the victim made a folder where there was a gap
            shutil.rmtree(there, ignore_errors=True)
def pause():
    for _ in range(30): os.lstat(gate)
print("ready", flush=True)
while True:
    put(gate, spare), put(trap, gate), pause()
    put(gate, trap), put(spare, gate), pause()
"""


@pytest.fixture
def stage() -> Iterator[Path]:
    # In memory where there is any: a million tries would otherwise measure the disk's fsync.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        yield Path(folder)


@pytest.fixture
def files(stage: Path) -> UserFiles:
    adapter = FolderFiles(settings=Settings(home=stage, keys_dir=stage, files_dir=stage / "files"))
    root, _ = adapter.folders(USER)
    outside = root.with_name(f"{root.name}_evil")
    for folder, content in ((outside, CANARY), (root / "gate", INSIDE)):
        folder.mkdir()
        (folder / "note.txt").write_bytes(content)
    (root / "trap").symlink_to(f"../{outside.name}")
    (root / "hop").symlink_to("gate")
    return adapter.root(USER)


def outside_of(stage: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (stage / "files" / f"{USER.hex}_evil").iterdir()}


@contextmanager
def attacked(root: Path) -> Iterator[None]:
    command = [sys.executable, "-c", ATTACK, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as attacker:
        assert attacker.stdout is not None
        assert attacker.stdout.readline() == b"ready\n"
        try:
            yield
            assert attacker.poll() is None, "the attacker died, so nothing raced"
        finally:
            attacker.kill()


def acts(files: UserFiles) -> list[Callable[[int], object]]:
    """What is tried by turns; each returns what it read."""
    read = [
        lambda _try: files.read_bytes("gate/note.txt", limit_bytes=100),
        lambda _try: files.read_bytes("hop/note.txt", limit_bytes=100),
    ]
    write = [
        lambda number: files.write(f"gate/new-{number % 9}", b"written"),
        lambda number: files.write(f"hop/new-{number % 9}", b"written"),
        lambda _try: files.rewrite("gate/note.txt", lambda old: old, limit_bytes=100),
        lambda number: files.make_directory(f"gate/folder-{number % 9}/in"),
        lambda number: files.move(f"gate/new-{number % 9}", f"gate/moved-{number % 500}"),
    ]
    look = [
        lambda _try: files.entries("gate"),
        lambda _try: list(files.walk("/")),
        lambda _try: files.info("gate/note.txt"),
    ]
    return [*read * 20, *write, *look]


def race(files: UserFiles, stage: Path, tries: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    todo = acts(files)
    with attacked(stage / "files" / USER.hex):
        for number in range(tries):
            try:
                answer = todo[number % len(todo)](number)
            except ToolError as exc:
                counts["led out" if "leads outside" in exc.message else "refused"] += 1
            else:
                assert CANARY not in answer if isinstance(answer, bytes) else "CANARY" not in repr(answer)
                counts["served"] += 1
    return counts


@pytest.mark.parametrize("kernel", ["openat2", "walk"])
def test_no_swap_of_a_folder_for_a_link_lets_a_path_out(
    kernel: str, files: UserFiles, stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kernel == "walk":
        monkeypatch.setattr(_beneath, "_has_openat2", lambda: False)

    counts = race(files, stage, TRIES)

    print(f"{kernel}: {dict(counts)}")
    assert outside_of(stage) == {"note.txt": CANARY}
    assert counts["served"] > 0
    assert counts["led out"] > 0
