"""Numbers and truths as models spell them."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from shared.ports.thoughts import Count, Handle

_DIGITS = re.compile(r"[0-9]{1,16}")
_TRUTHS = {"true": True, "false": False}


def _truth(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if (truth := _TRUTHS.get(value.lower())) is None:
        raise ValueError("it is neither a boolean nor 'true' or 'false'")
    return truth


def _count(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value.strip()) else value


_Truth = Annotated[str, Field(pattern="^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$")]
_Digits = Annotated[str, Field(pattern=r"^\s*0*[1-9][0-9]*\s*$", max_length=32)]

SpelledTruth = Annotated[bool, BeforeValidator(_truth, json_schema_input_type=bool | _Truth)]
SpelledCount = Annotated[Count, BeforeValidator(_count, json_schema_input_type=Count | _Digits)]
Session = Annotated[
    Handle,
    Field(
        description="a name of the caller's own for a line of thought, kept for 30 days; without one the user's"
        " common line is used, which begins anew after a day without thoughts"
    ),
]
