"""Which contents two tasks share: what one has put out, and what another was given.

A value counts by itself where it is a text of some length, or an object or array that is as long when written; blanks
around a text and how JSON is spelt make no difference. What is cut, joined or reworded on the way is not recognised.
"""

import json
import re
from collections.abc import Iterator
from uuid import UUID

from shared.strict_json import Json

# Shorter ones are common to tasks that know nothing of one another: "ok", a name, a date.
SHORTEST = 24
MOST_CONTENTS = 256
MOST_IDS = 64
_DEPTH = 16
# Each object is written once for every level above it.
_MOST_WRITTEN = 4 << 20
_UUID = re.compile(r"(?<![0-9a-zA-Z-])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9a-zA-Z-])")


def contents(value: Json) -> frozenset[bytes]:
    """Outermost first, and no more than MOST_CONTENTS of them."""
    found: set[bytes] = set()
    written = 0
    for text in _spelt(value):
        written += len(text)
        if len(text) >= SHORTEST:
            found.add(text)
        if len(found) >= MOST_CONTENTS or written > _MOST_WRITTEN:
            break
    return frozenset(found)


def named_ids(value: Json) -> frozenset[UUID]:
    """All that is written like an id, anywhere in its texts."""
    found: set[UUID] = set()
    for item in _values(value):
        if isinstance(item, str) and len(item) >= 36:
            for match in _UUID.finditer(item):
                found.add(UUID(match[0]))
                if len(found) >= MOST_IDS:
                    return frozenset(found)
    return frozenset(found)


def _spelt(value: Json) -> Iterator[bytes]:
    for item in _values(value):
        if isinstance(item, str):
            yield _text(item)
        elif isinstance(item, dict | list):
            yield _canonical(item)


def _text(text: str) -> bytes:
    text = text.strip()
    if text[:1] in ("{", "["):
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            return text.encode()
        if isinstance(parsed, dict | list):
            return _canonical(parsed)
    return text.encode()


def _canonical(value: dict[str, Json] | list[Json]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _values(value: Json) -> Iterator[Json]:
    """Level by level, containers before what is in them."""
    level = [value]
    for _ in range(_DEPTH):
        below: list[Json] = []
        for item in level:
            yield item
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return
        level = below
