"""The signing keys of a process that cannot look at their folder just now."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.crypto import rotate_signing_key
from shared.errors import Unavailable
from shared.stores.signing_keys import SigningKeys
from tests.system.platform import REPOSITORY


def _out_of_descriptors(*_: Any) -> Any:
    raise OSError(errno.EMFILE, "Too many open files")


def test_known_keys_go_on_while_their_folder_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = SigningKeys(tmp_path, reload_s=0)
    known = keys.live()
    with monkeypatch.context() as without:
        without.setattr("shared.crypto.os.listdir", _out_of_descriptors)
        assert keys.live() is known
    rotate_signing_key(tmp_path)
    assert [key.kid for key in keys.live()][1:] == [key.kid for key in known]


def test_a_command_makes_the_key_that_signs_from_now_on(tmp_path: Path) -> None:
    keys = SigningKeys(tmp_path, reload_s=0)
    [first] = keys.live()
    environ = {**os.environ, "SUTAZAI_KEYS_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "functions", "rotate-keys"]
    done = subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    [second, still] = keys.live()
    assert still.kid == first.kid != second.kid


def test_without_any_key_it_is_said_that_it_may_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = SigningKeys(tmp_path, reload_s=0)
    with monkeypatch.context() as without:
        without.setattr("shared.crypto.os.listdir", _out_of_descriptors)
        with pytest.raises(Unavailable, match="signing keys"):
            keys.live()
