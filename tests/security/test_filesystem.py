"""Every case of filesystem.yaml: what is answered, and that nothing else happened."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from shared.config import Settings
from shared.errors import ToolError
from shared.function import spec_of
from shared.stores import _beneath
from shared.stores.files import FolderFiles

USER, OTHER = UUID(int=1), UUID(int=2)
QUOTA_BYTES = 10_000
CASES: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("filesystem.yaml").read_text())["cases"]
LINKS = {
    "file-out": "../outside/canary.txt",
    "folder-out": "../outside",
    "twin-link": f"../{USER.hex}_evil",
    "chain": "folder-out",
    "docs/up": "../..",
    "dangling": "../outside/new.txt",
    "loop-a": "loop-b",
    "loop-b": "loop-a",
    "self": ".",
    "environ": "/proc/self/environ",
    "proc-root": "/proc/self/root",
    "git-link": ".git",
    "git-config-link": "docs/../.git/config",
    "notes-link": "docs/../notes.txt",
    "docs-link": "docs",
}
INSIDE = {
    "notes.txt": "INSIDE",
    "docs/a.txt": "A",
    "docs/deep/c.txt": "C",
    "docs/deep/.git/config": "CANARY",
    ".git/config": "CANARY",
    ".ssh/id_ed25519": "CANARY",
    "docs/.ssh/id_ed25519": "CANARY",
}
OUTSIDE = {
    "outside/canary.txt": "CANARY",
    f"{USER.hex}_evil/secret.txt": "CANARY",
    f"{OTHER.hex}/theirs.txt": "CANARY",
}


@dataclass(frozen=True)
class Run:
    user_id: UUID = USER
    execution_id: UUID = field(default=UUID(int=3))
    attempt: int = 1

    def key(self, step: str) -> str:
        return step

    def progress(self, percent: float, message: str = "") -> None:
        pass


@pytest.fixture(params=["openat2", "walk"])
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderFiles:
    if request.param == "walk":
        monkeypatch.setattr(_beneath, "_has_openat2", lambda: False)
    settings = Settings(home=tmp_path, keys_dir=tmp_path, files_dir=tmp_path / "f", files_quota_bytes=QUOTA_BYTES)
    adapter = FolderFiles(settings=settings)
    root, _ = adapter.folders(USER)
    for folder, contents in ((root, INSIDE), (root.parent, OUTSIDE)):
        for path, content in contents.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content)
    for path, target in LINKS.items():
        (root / path).symlink_to(target)
    (root / "absolute-out").symlink_to(root.parent / "outside/canary.txt")
    (root / "absolute-in").symlink_to(root / "notes.txt")
    (root.parent / "outside/hard.txt").write_text("HARD")
    os.link(root.parent / "outside/hard.txt", root / "hard.txt")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        # The path of a socket is short, that of a test's folder is not.
        here = os.open(root, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    return adapter


def filled(value: Any, root: Path) -> Any:
    """The input with what only the stage knows in place of `{names}`."""
    if isinstance(value, dict):
        return {key: filled(item, root) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, root) for item in value]
    if not isinstance(value, str):
        return value
    known = {
        "{user}": USER.hex,
        "{other}": OTHER.hex,
        "{root}": str(root),
        "{outside}": str(root.parent / "outside"),
        "{long_name}": "n" * 256,
        "{long_path}": "a/" * 50_000,
        "{deep_path}": "a/" * 65,
        "{too_much}": "x" * (QUOTA_BYTES + 1),
        "{braces}": "{a,b}" * 40,
        "{stars}": "*a" * 400 + "b",
    }
    for name, text in known.items():
        value = value.replace(name, text)
    return value


def snapshot(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = "link" if path.is_symlink() else "file" if path.is_file() else "other"
        content = os.readlink(path) if kind == "link" else path.read_text() if kind == "file" else ""
        found[str(path.relative_to(folder))] = f"{kind} {path.lstat().st_mode:o} {content}"
    return found


def called(tool: str, arguments: dict[str, Any], files: FolderFiles) -> tuple[bool, str]:
    """Whether it was served, and the text of the answer or the error."""
    handler: Callable[..., BaseModel] = getattr(import_module(f"functions.agents.filesystem.{tool}"), tool)
    payload = spec_of(handler).payload
    assert payload is not None
    try:
        return True, str(handler(payload.model_validate(arguments), run=Run(), files=files).model_dump()["content"])
    except ToolError as exc:
        return False, exc.message
    except ValidationError as exc:
        return False, str(exc.errors(include_input=False, include_url=False))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_a_hostile_call_gets_its_answer_and_has_no_other_effect(case: dict[str, Any], files: FolderFiles) -> None:
    root, _ = files.folders(USER)
    allowed = {*(f"{root.name}/{path}" for path in case.get("changes", [])), f".accounts/{USER.hex}/usage"}
    before = snapshot(root.parent)

    served, text = called(case["tool"], filled(case["input"], root), files)

    after = snapshot(root.parent)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed <= allowed
    assert {path for path in changed if path.startswith(root.name)} == {
        f"{root.name}/{path}" for path in case.get("changes", [])
    }
    assert served is ("refused" not in case), text
    assert case.get("refused", "") in text
    assert case.get("answer", text) == text
    assert "lacks" not in case or case["lacks"] not in text
    # What the caller wrote may be repeated to them; nothing else about the host may be told.
    assert str(root.parent) not in text or str(root.parent) in str(filled(case["input"], root))
    assert "CANARY" not in text or "CANARY" in str(case["input"])


def test_the_corpus_is_as_large_as_promised_and_names_its_cases_once() -> None:
    assert len(CASES) >= 60
    assert len({case["name"] for case in CASES}) == len(CASES)
