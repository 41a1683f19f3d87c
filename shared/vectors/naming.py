"""What collections and aliases may be called."""

from typing import Annotated

from pydantic import Field

NewName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]

# In `/vectors/{collection}/{vector_id}` these are other routes.
_ROUTES = frozenset({"aliases", "collections", "embed", "engines", "models", "search", "upsert"})


def no_route(name: str) -> str:
    """Raises ValueError for a collection or an alias that its vectors could not be reached under."""
    if name in _ROUTES:
        raise ValueError(f"nothing can be called {name!r}: that is a route")
    return name
