"""The generated files, and what they are generated from."""

import re
from pathlib import Path

import pytest

from shared.manifests import files
from shared.manifests.event_schemas import event_types


def test_what_is_committed_is_what_the_declarations_say() -> None:
    assert files.differing() == []


def test_an_edited_a_missing_and_a_left_over_file_are_found_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ROOT", tmp_path)
    written = files.write()
    assert written
    assert files.differing() == []
    edited, missing, left_over = written[0], written[1], tmp_path / "events/schemas/gone.v1.json"
    edited.write_text("{}")
    missing.unlink()
    left_over.write_text("{}")
    assert files.differing() == sorted([edited, missing, left_over])
    assert files.write() == sorted([edited, missing, left_over])
    assert files.differing() == []


@pytest.mark.parametrize("name", event_types())
def test_a_type_names_its_subject_what_happened_and_its_version(name: str) -> None:
    assert re.fullmatch(r"[a-z_]+\.[a-z_]+\.v[1-9][0-9]*", name)
