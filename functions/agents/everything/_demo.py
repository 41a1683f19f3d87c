"""The made-up resources that actions point to: each follows from its number alone, so none is stored."""

import base64
from collections.abc import Mapping

from shared.content import BlobResource, ResourceLink, TextResource


def text_of(number: int) -> str:
    return f"Resource {number}: this text was made for demonstration."


def blob_of(number: int) -> bytes:
    return f"Resource {number}: these bytes were made for demonstration.".encode()


def text_resource(number: int) -> TextResource:
    return TextResource(uri=f"demo://resource/dynamic/text/{number}", text=text_of(number))


def blob_resource(number: int) -> BlobResource:
    blob = base64.b64encode(blob_of(number)).decode()
    return BlobResource(uri=f"demo://resource/dynamic/blob/{number}", blob=blob)


def numbers(value: str, known: Mapping[str, str]) -> list[str]:
    """Those that go on from what was typed."""
    if not value:
        return [str(number) for number in range(1, 11)]
    if not (value.isascii() and value.isdigit()) or value.startswith("0") or len(value) > 8:
        return []
    return [value, *(f"{value}{digit}" for digit in range(10))]


def link(number: int) -> ResourceLink:
    """Odd numbers lead to text, even ones to bytes."""
    resource = text_resource(number) if number % 2 else blob_resource(number)
    kind = "text" if number % 2 else "blob"
    return ResourceLink(
        uri=resource.uri,
        name=f"{kind} resource {number}",
        description=f"Demonstration resource {number}, a {kind}",
        mime_type=resource.mime_type,
    )
