"""The made-up resources that actions point to: each follows from its number alone, so none is stored."""

import base64

from functions.agents.everything._content import BlobResource, ResourceLink, TextResource


def text_resource(number: int) -> TextResource:
    said = f"Resource {number}: this text was made for demonstration."
    return TextResource(uri=f"demo://resource/dynamic/text/{number}", text=said)


def blob_resource(number: int) -> BlobResource:
    data = f"Resource {number}: these bytes were made for demonstration.".encode()
    return BlobResource(uri=f"demo://resource/dynamic/blob/{number}", blob=base64.b64encode(data).decode())


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
