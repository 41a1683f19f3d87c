"""filesystem/read_media_file: an image, a sound or any other file as base64."""

import base64
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import quote

from pydantic import BaseModel, Field

from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.files import Files

_MAX_BYTES = 10 << 20
_IMAGES = {name: name for name in ("png", "jpeg", "gif", "webp", "bmp")} | {"jpg": "jpeg", "svg": "svg+xml"}
_SOUNDS = {"mp3": "mpeg", "wav": "wav", "ogg": "ogg", "flac": "flac"}


class ReadMediaFile(Payload):
    path: str


class Media(BaseModel):
    type: Literal["image", "audio"]
    data: str
    mime_type: str = Field(serialization_alias="mimeType")


class Blob(BaseModel):
    uri: str
    mime_type: str = Field(default="application/octet-stream", serialization_alias="mimeType")
    blob: str


class Resource(BaseModel):
    type: Literal["resource"] = "resource"
    resource: Blob


class Blocks(BaseModel):
    content: list[Media | Resource]


@tool(effect="read", timeout_s=20)
def read_media_file(request: ReadMediaFile, *, run: Run, files: Files) -> Blocks:
    """Return a file as base64: images and sounds by the type their name ends in, others as a resource."""
    root = files.root(run.user_id)
    data = base64.b64encode(root.read_bytes(request.path, limit_bytes=_MAX_BYTES)).decode()
    ending = PurePosixPath(request.path).suffix.lower().removeprefix(".")
    if ending in _IMAGES:
        return Blocks(content=[Media(type="image", data=data, mime_type=f"image/{_IMAGES[ending]}")])
    if ending in _SOUNDS:
        return Blocks(content=[Media(type="audio", data=data, mime_type=f"audio/{_SOUNDS[ending]}")])
    uri = f"file://{quote(root.shown(request.path))}"
    return Blocks(content=[Resource(resource=Blob(uri=uri, blob=data))])
