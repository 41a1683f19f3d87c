"""A small picture, drawn when it is first asked for."""

import base64
import struct
import zlib
from functools import cache

from shared.content import Annotations, ImageContent

_SIDE = 16
_RGB_8_BIT = struct.pack("!IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)


def tiny_image(annotations: Annotations | None = None) -> ImageContent:
    data = base64.b64encode(_png()).decode()
    return ImageContent(data=data, mime_type="image/png", annotations=annotations)


@cache
def _png() -> bytes:
    # Each row begins with its filter: 0, none.
    rows = b"".join(b"\0" + b"".join(_pixel(x, y) for x in range(_SIDE)) for y in range(_SIDE))
    chunks = (_chunk(b"IHDR", _RGB_8_BIT), _chunk(b"IDAT", zlib.compress(rows, 9)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _pixel(x: int, y: int) -> bytes:
    """An orange disc on blue."""
    middle = (_SIDE - 1) / 2
    inside = (x - middle) ** 2 + (y - middle) ** 2 <= (0.4 * _SIDE) ** 2
    return b"\xf2\x8c\x28" if inside else b"\x1d\x35\x57"


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + kind + content + struct.pack("!I", zlib.crc32(kind + content))
