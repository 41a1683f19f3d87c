"""Random ids by the handful: each system call for a few bytes costs more than all else about an id."""

import os
from collections import deque
from uuid import UUID

_SIZE = 16
_AT_ONCE = 256
# What takes from either end of a deque is safe among threads.
_random: deque[bytes] = deque()
# A child would go on with the same ones.
os.register_at_fork(after_in_child=_random.clear)


def _next() -> bytes:
    try:
        return _random.popleft()
    except IndexError:
        fresh = os.urandom(_SIZE * _AT_ONCE)
        _random.extend(fresh[start : start + _SIZE] for start in range(_SIZE, len(fresh), _SIZE))
        return fresh[:_SIZE]


def new_id() -> UUID:
    """Of version 4, as those of uuid4."""
    return UUID(bytes=_next(), version=4)


def new_request_id() -> str:
    return _next().hex()
