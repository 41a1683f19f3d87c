"""Requests that bring either JSON or, as multipart/form-data (RFC 7578), a file."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from shared.asgi import MULTIPART
from shared.errors import Invalid
from shared.payload import Upload, from_body, invalid

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MOST_PARTS = 100
_MOST_BOUNDARY = 70
_TEXT_BYTES = 256 * 1024


def uploaded(model: type[BaseModel], content_type: str, body: bytes) -> tuple[BaseModel, bytes]:
    """The payload, and what two requests share that ask for the same. Raises Invalid.

    `model` is a root model of two: of what comes as JSON, and of what comes as a form.
    """
    as_json, as_form = get_args(model.model_fields["root"].annotation)
    if content_type.partition(";")[0].strip().lower() != MULTIPART:
        payload = from_body(as_json, body, {}, string_bytes=max(len(body), 1))
        return model.model_construct(root=payload), body
    parts = _parts(content_type, body)
    try:
        return model.model_construct(root=as_form.model_validate(parts)), _canonical(parts)
    except ValidationError as error:
        raise invalid(error) from None


def _canonical(parts: Mapping[str, "str | Upload"]) -> bytes:
    """Clients choose another boundary each time."""
    digest = hashlib.sha256()
    for name, part in sorted(parts.items()):
        values = (part.file_name, part.content_type, part.content) if isinstance(part, Upload) else (part,)
        for value in (name, *values):
            written = value.encode() if isinstance(value, str) else value
            digest.update(len(written).to_bytes(8, "big") + written)
    return digest.digest()


def _parts(content_type: str, body: bytes) -> dict[str, "str | Upload"]:
    reader = _Reader()
    try:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not 0 < len(boundary) <= _MOST_BOUNDARY:
            raise Invalid("a multipart body has a boundary of 1 to 70 characters")
        parser = MultipartParser(boundary, reader.callbacks)
        parser.write(body)
        parser.finalize()
    except (FormParserError, UnicodeError, ValueError) as exc:
        raise Invalid("the body is no multipart/form-data") from exc
    if not reader.ended:
        raise Invalid("the multipart body is cut short")
    return reader.found


class _Reader:
    """What the parser tells, piece by piece."""

    def __init__(self) -> None:
        self.found: dict[str, str | Upload] = {}
        self.ended = False
        self._name = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._content = bytearray()
        self._count = 0

    @property
    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header,
            "on_part_data": lambda data, start, end: self._content.extend(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._count += 1
        if self._count > _MOST_PARTS:
            raise Invalid(f"a multipart body has at most {_MOST_PARTS} parts")
        self._headers = {}
        self._content.clear()

    def _header(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = _text(options.get(b"name", b""))
        if not name or name in self.found:
            raise Invalid(f"each part has a name of its own: {name[:100]!r}")
        if b"filename" in options:
            kind = self._headers.get(b"content-type", b"").decode("latin-1").strip()[:200]
            self.found[name] = Upload(_text(options[b"filename"]), kind, bytes(self._content))
        elif len(self._content) > _TEXT_BYTES:
            raise Invalid(f"the part {name[:100]!r} is longer than {_TEXT_BYTES} bytes; send it as a file")
        else:
            self.found[name] = _text(bytes(self._content))

    def _finish(self) -> None:
        self.ended = True


def _text(value: bytes) -> str:
    text = value.decode()
    if "\0" in text:
        raise Invalid("a part holds a NUL character")
    return text
