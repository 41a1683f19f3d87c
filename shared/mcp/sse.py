"""Server-sent events, out of pieces that were cut anywhere."""

import re

_LINE_END = re.compile(rb"[\r\n]")


class Overlong(Exception):
    """An event is larger than its reader takes."""


class SseReader:
    """`feed` gives the data of each message that is whole; `last_id` is what a broken stream may be taken up at.

    Events of another type than `message` are passed over.
    """

    def __init__(self, *, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()
        self._scanned = 0
        self._after_cr = False
        self._data: list[bytes] = []
        self._size = 0
        self._type = b""
        self._first = True
        self.last_id: bytes | None = None

    def feed(self, piece: bytes) -> list[bytes]:
        """Raises Overlong."""
        if not piece:
            return []
        self._buffer += piece[1:] if self._after_cr and piece.startswith(b"\n") else piece
        self._after_cr = False
        messages: list[bytes] = []
        start = 0
        while (end := self._line_end(start)) >= 0:
            line = bytes(self._buffer[start:end])
            start = end + 1
            if self._buffer[end] == 0x0D:
                if start == len(self._buffer):
                    self._after_cr = True
                elif self._buffer[start] == 0x0A:
                    start += 1
            if (message := self._line(line)) is not None:
                messages.append(message)
        del self._buffer[:start]
        self._scanned = len(self._buffer)
        if self._scanned + self._size > self._limit_bytes:
            raise Overlong
        return messages

    def _line_end(self, start: int) -> int:
        found = _LINE_END.search(self._buffer, max(start, self._scanned))
        return -1 if found is None else found.start()

    def _line(self, line: bytes) -> bytes | None:
        if self._first:
            self._first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
            if self._size > self._limit_bytes:
                raise Overlong
        elif name == b"event":
            self._type = value
        elif name == b"id" and b"\0" not in value:
            self.last_id = value
        return None

    def _dispatch(self) -> bytes | None:
        data, kind = b"\n".join(self._data), self._type
        self._data, self._size, self._type = [], 0, b""
        return data if data and kind in (b"", b"message") else None
