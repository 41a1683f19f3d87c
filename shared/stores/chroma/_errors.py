"""Chroma's errors as ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from chromadb.errors import ChromaError, NotFoundError

from shared.errors import NotFound, SutazaiError, Unavailable

# Refused for who asks, where, or when: the key, another server, too slow, too much. All else from 400 on is for what
# is asked.
_PASSING = frozenset({401, 403, 404, 408, 429})


@contextmanager
def told() -> Iterator[None]:
    """Raises NotFound, Unavailable, and SutazaiError for what will be refused again."""
    try:
        yield
    except NotFoundError as exc:
        raise NotFound("there is no such space") from exc
    except ChromaError as exc:
        # Of the others each class has its status; this one is a server's for all that it has no other name for.
        raise _failure(500 if type(exc) is ChromaError else exc.code(), type(exc).__name__) from exc
    except (OSError, httpx.HTTPError) as exc:
        raise Unavailable("Chroma cannot be reached") from exc
    except Exception as exc:
        # What its client makes of an answer that is none of Chroma's own, such as a proxy's.
        if type(exc) is not Exception or not isinstance(exc.__context__, httpx.HTTPStatusError):
            raise
        status = exc.__context__.response.status_code
        raise _failure(status, str(status)) from exc


def _failure(status: int, reason: str) -> SutazaiError:
    if status in range(400, 500) and status not in _PASSING:
        return SutazaiError("Chroma refuses what it is asked", reason=reason)
    return Unavailable("Chroma cannot answer now", reason=reason)
