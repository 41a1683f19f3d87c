"""What a key may be: the same in every store, and never a way out of one."""

import re

_KEY = re.compile(r"[a-z0-9_-][a-z0-9._-]*(/[a-z0-9_-][a-z0-9._-]*)*", re.ASCII)
_PREFIX = re.compile(r"([a-z0-9_-][a-z0-9._-]*/)*([a-z0-9_-][a-z0-9._-]*)?", re.ASCII)
_LONGEST = 512
PIECE_BYTES = 1 << 18


def checked_key(key: str) -> str:
    """Raises ValueError: keys are made by us, so a wrong one is a fault of ours."""
    if len(key) > _LONGEST or not _KEY.fullmatch(key):
        raise ValueError(f"no key of an object: {key[:100]!r}")
    return key


def checked_prefix(prefix: str) -> str:
    if len(prefix) > _LONGEST or not _PREFIX.fullmatch(prefix):
        raise ValueError(f"no prefix of objects: {prefix[:100]!r}")
    return prefix
