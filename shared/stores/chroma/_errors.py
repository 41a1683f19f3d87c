"""Chroma's errors as ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from chromadb.errors import ChromaError, NotFoundError

from shared.errors import NotFound, Unavailable


@contextmanager
def told() -> Iterator[None]:
    try:
        yield
    except NotFoundError as exc:
        raise NotFound("there is no such space") from exc
    except ChromaError as exc:
        raise Unavailable("Chroma refuses", reason=exc.name()) from exc
    except (OSError, httpx.HTTPError) as exc:
        raise Unavailable("Chroma cannot be reached") from exc
