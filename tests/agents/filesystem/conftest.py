"""A user's real folder, and a way to call the actions on it as a task would."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import pytest
from pydantic import BaseModel

from shared.config import Settings
from shared.function import spec_of
from shared.ports.files import Files, UserFiles
from shared.stores.files import FolderFiles

USER, EXECUTION = UUID(int=1), UUID(int=2)


@dataclass(frozen=True)
class Run:
    user_id: UUID = USER
    execution_id: UUID = EXECUTION
    attempt: int = 1

    def key(self, step: str) -> str:
        return step

    def progress(self, percent: float, message: str = "") -> None:
        pass


class Act(Protocol):
    def __call__(self, tool: str, **arguments: Any) -> Any:
        """The answer's `content`; raises ToolError as the action does."""


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return FolderFiles(settings=Settings(home=tmp_path, keys_dir=tmp_path, files_dir=tmp_path / "files"))


@pytest.fixture
def root(files: Files) -> UserFiles:
    return files.root(USER)


@pytest.fixture
def act(files: Files) -> Act:
    def call(tool: str, **arguments: Any) -> Any:
        handler: Callable[..., BaseModel] = getattr(import_module(f"functions.agents.filesystem.{tool}"), tool)
        payload = spec_of(handler).payload
        assert payload is not None
        answer = handler(payload.model_validate(arguments), run=Run(), files=files)
        return answer.model_dump(by_alias=True)["content"]

    return call
