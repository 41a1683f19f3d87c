"""The generated files: written by `python -m functions write`, compared by `check`."""

import json
from pathlib import Path

from shared.manifests.event_schemas import event_schemas

ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = ("events/schemas",)


def rendered() -> dict[Path, str]:
    """What each generated file should hold."""
    return {ROOT / path: json.dumps(schema, indent=2) + "\n" for path, schema in event_schemas().items()}


def differing() -> list[Path]:
    """Files that are missing, differ, or are generated no more."""
    wanted = rendered()
    there = {path for folder in _FOLDERS for path in (ROOT / folder).glob("*")}
    changed = {path for path, text in wanted.items() if path not in there or path.read_text() != text}
    return sorted(changed | (there - wanted.keys()))


def write() -> list[Path]:
    """Returns what it wrote or removed."""
    wanted = rendered()
    changed = differing()
    for path in changed:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()
    return changed
