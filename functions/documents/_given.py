"""What callers say of a document, checked; and what its file is called."""

import json
import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from shared import strict_json
from shared.errors import Invalid
from shared.ports.documents import MetadataValue
from shared.vectors.filters import RESERVED
from shared.vectors.naming import NewName, no_route

COLLECTION = "documents"
# What a chunk's metadata says of its own document and place.
_OURS = frozenset({"document_id", "title", "heading", "position", "page"})
_MOST_KEYS, _MOST_BYTES = 32, 8 * 1024
# Beyond it, floats do not tell all whole numbers apart, and engines compare floats.
_LARGEST = 1 << 53
_MOST_NAME = 200
_UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")

Title = Annotated[
    str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")
]


def _checked(metadata: dict[str, MetadataValue]) -> dict[str, MetadataValue]:
    if taken := (RESERVED | _OURS) & metadata.keys():
        raise ValueError(f"these keys have a meaning of their own: {', '.join(sorted(taken))}")
    if len(json.dumps(metadata, ensure_ascii=False).encode()) > _MOST_BYTES:
        raise ValueError(f"it is longer than {_MOST_BYTES} bytes")
    for key, value in metadata.items():
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str) and abs(item) > _LARGEST:
                raise ValueError(f"a number under {key!r} is beyond 2^53, where they are not told apart")
    return metadata


def _parsed(value: object) -> object:
    """A form has only text."""
    if not isinstance(value, str):
        return value
    try:
        return strict_json.parse(value.encode())
    except Invalid as exc:
        raise ValueError(exc.message) from None


CollectionName = Annotated[NewName, AfterValidator(no_route)]
_Key = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
GivenMetadata = Annotated[dict[_Key, MetadataValue], Field(max_length=_MOST_KEYS), AfterValidator(_checked)]
FormMetadata = Annotated[GivenMetadata, BeforeValidator(_parsed)]


def file_name_of(sent: str) -> str | None:
    """Without folders, and without what hides or reverses what one reads."""
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", sent))[-1]
    name = " ".join(_UNPRINTED.sub("", strict_json.plain(name)).split()).strip(". ")
    if len(name) > _MOST_NAME:
        stem, dot, suffix = name.rpartition(".")
        name = f"{stem[: _MOST_NAME - 20]}{dot}{suffix[:19]}" if dot else name[:_MOST_NAME]
    return name or None
