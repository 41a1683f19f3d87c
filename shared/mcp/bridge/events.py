"""The events of a stream on its way through: each whole, and as soon as it is."""

from collections.abc import Callable
from typing import Final

_END: Final = b"\n\n"
_DATA: Final = b"data: "


class Events:
    """`change` is given the data of each event. Our own servers write it in one line, and end lines in one way."""

    def __init__(self, change: Callable[[bytes], bytes]) -> None:
        self._change = change
        self._rest = b""

    def feed(self, piece: bytes) -> bytes:
        """An empty piece says that it was the last."""
        if not piece:
            rest, self._rest = self._rest, b""
            return rest
        whole, separator, self._rest = (self._rest + piece).rpartition(_END)
        return _END.join(map(self._changed, whole.split(_END))) + separator if separator else b""

    def _changed(self, event: bytes) -> bytes:
        head, separator, data = event.partition(_DATA)
        return head + separator + self._change(data) if separator else event
