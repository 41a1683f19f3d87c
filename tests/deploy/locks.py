"""The lock of a family of images: that part of requirements.lock which it needs, with the same hashes.

`python -m tests.deploy.locks FAMILY` prints one.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import packages_distributions

from packaging.utils import canonicalize_name

from shared.manifests.images import EXTRAS, FAMILIES, HOST
from tests.system.platform import REPOSITORY

# Python loads them by themselves, so no import names them: time zones, and what an old redis client wants.
_UNNAMED = {"redis": ("async-timeout",), "schedules": ("tzdata",)}
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==")
_VIA = re.compile(r"^    #(?: via)? +(?!via)([A-Za-z0-9._-]+)", re.MULTILINE)


def lock(family: str) -> str:
    """Raises LookupError for what requirements.lock does not hold."""
    pinned = _pinned((REPOSITORY / "requirements.lock").read_text())
    asked = distributions(family)
    if missing := sorted(asked - pinned.keys()):
        raise LookupError(f"requirements.lock does not hold {', '.join(missing)}")
    head = f"# The part of requirements.lock that the images of family {family!r} need.\n"
    return head + "".join(pinned[name] for name in sorted(_with_what_they_require(asked, pinned)))


def distributions(family: str) -> frozenset[str]:
    """What a family asks for itself."""
    known = packages_distributions()
    modules = HOST.union(*(EXTRAS[extra] for extra in FAMILIES[family]))
    unnamed = (name for extra in FAMILIES[family] for name in _UNNAMED.get(extra, ()))
    return frozenset(canonicalize_name(name) for name in (*(known[module][0] for module in modules), *unnamed))


def _with_what_they_require(names: Iterable[str], pinned: Mapping[str, str]) -> frozenset[str]:
    """As the lock's own comments have it: each says for whose sake it is there."""
    required_by: dict[str, set[str]] = {}
    for name, lines in pinned.items():
        for parent in _VIA.findall(lines):
            required_by.setdefault(canonicalize_name(parent), set()).add(name)
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= required_by.get(name, set()) - found
    return frozenset(found)


def _pinned(text: str) -> Mapping[str, str]:
    """The lines of each requirement, by name."""
    blocks: dict[str, str] = {}
    name = ""
    for line in text.splitlines(keepends=True):
        if line.startswith("#"):
            continue
        if match := _PINNED.match(line):
            name = canonicalize_name(match[1])
            blocks[name] = ""
        blocks[name] += line
    return blocks


if __name__ == "__main__":
    print(lock(sys.argv[1]), end="")
