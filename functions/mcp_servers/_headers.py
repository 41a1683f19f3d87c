"""Headers that prove to a server who asks."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

_MOST_CHARACTERS = 8192
# What says how a message travels, or what protocol it is of, is ours to say.
_OURS = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_STARTS = ("mcp-", "proxy-")

_Name = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$")]
_Value = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,4096}$")]


def _checked(headers: dict[str, str]) -> dict[str, str]:
    names = [name.lower() for name in headers]
    if len(set(names)) != len(names):
        raise ValueError("a header is given twice; names of headers do not depend on their case")
    for name in names:
        if name in _OURS or name.startswith(_STARTS):
            raise ValueError(f"the header {name!r} cannot be chosen")
    if sum(len(name) + len(value) for name, value in headers.items()) > _MOST_CHARACTERS:
        raise ValueError(f"they hold more than {_MOST_CHARACTERS} characters")
    return headers


Headers = Annotated[dict[_Name, _Value], Field(max_length=20), AfterValidator(_checked)]
