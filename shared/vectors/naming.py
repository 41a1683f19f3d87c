"""What collections and aliases may be called."""

from typing import Annotated

from pydantic import Field

NewName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]

# In `/vectors/{collection}/{vector_id}` these are other routes.
ROUTES = frozenset({"aliases", "collections", "embed", "engines", "models", "search", "upsert"})
