"""A confined process works in its own folders and opens nothing else."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from uuid import UUID

import pytest

from shared import confine
from shared.config import Settings
from shared.stores.files import FolderFiles

USER, OTHER = UUID(int=1), UUID(int=2)


def adapter(folder: Path) -> FolderFiles:
    return FolderFiles(settings=Settings(home=folder, keys_dir=folder, files_dir=folder / "files"))


def tried(act: Callable[[], object]) -> str:
    try:
        return repr(act())
    except OSError as exc:
        return type(exc).__name__


def _confined(folder: Path, answers: Connection) -> None:
    files = adapter(folder).root(USER)
    (folder / "read").mkdir()
    (folder / "read/a").write_text("read")
    managed = confine.confine(adapter(folder).folders(USER), [folder / "read", folder / "missing"])
    if not managed.version:
        answers.send(None)
        return
    files.make_directory("a/b")
    files.write("a/x", b"mine")
    files.rewrite("a/x", lambda old: old + b"!", limit_bytes=10)
    files.move("a/x", "a/b/y")
    answers.send(
        {
            "managed": [path.name for path in (*managed.read_write, *managed.read_only)],
            "own": files.read_bytes("a/b/y", limit_bytes=10),
            "read": (folder / "read/a").read_text(),
            "written": tried(lambda: (folder / "read/a").write_text("x")),
            "other": tried(lambda: (folder / "files" / OTHER.hex / "theirs").read_text()),
            "listed": tried(lambda: os.listdir(folder / "files")),
            "host": tried(lambda: Path("/etc/passwd").read_text()),
            "outside": tried(lambda: (folder / "new").write_text("x")),
            "run": tried(lambda: os.execv("/bin/true", ["true"])),
        }
    )


def test_a_confined_process_opens_only_its_own_folders(tmp_path: Path) -> None:
    adapter(tmp_path).root(OTHER).write("theirs", b"secret")
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_confined, args=(tmp_path, theirs))
    process.start()
    assert ours.poll(30)
    answers = ours.recv()
    process.join(30)
    if answers is None:
        pytest.skip("this kernel has no Landlock, or none that allows a rename between folders")
    assert answers == {
        "managed": [USER.hex, USER.hex, "read"],
        "own": b"mine!",
        "read": "read",
        "written": "PermissionError",
        "other": "PermissionError",
        "listed": "PermissionError",
        "host": "PermissionError",
        "outside": "PermissionError",
        "run": "PermissionError",
    }


def test_a_kernel_without_landlock_is_told_and_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confine, "_version", lambda: 0)
    assert confine.confine([Path("/")], []) == confine.Confinement(version=0)
    assert Path("/etc/passwd").read_text()
