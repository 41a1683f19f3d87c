"""What requests name collections, aliases, models and vectors by, and what vectors are."""

from typing import Annotated

from pydantic import Field

from shared.errors import Invalid
from shared.ports.vectors import MOST_DIMENSIONS
from shared.vectors.naming import no_route

# Also one that nothing can have is just not there.
AnyName = Annotated[str, Field(max_length=200)]
AnyId = Annotated[str, Field(max_length=512)]
NewId = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$")]
Model = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, Field(min_length=1, max_length=32_768)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Numbers = Annotated[list[Number], Field(min_length=1, max_length=MOST_DIMENSIONS)]


def check_new(name: str) -> None:
    """Raises Invalid for a collection or an alias that its vectors could not be reached under."""
    try:
        no_route(name)
    except ValueError as exc:
        raise Invalid(str(exc), field="name") from None
