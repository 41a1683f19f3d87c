"""Lists in pages, written once."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Final

from shared import base64url
from shared.mcp.server import Kind
from shared.strict_json import Json, dump

PAGE: Final = 100
Definitions = Callable[[], Sequence[tuple[str, dict[str, Json]]]]


class Pages:
    """Definitions in order of their keys; a cursor says after which key a page begins."""

    def __init__(self, kind: Kind, definitions: Definitions, *, page: int = PAGE) -> None:
        self._kind = kind
        self._definitions = definitions
        self._page = page

    def page(self, cursor: str | None) -> bytes | None:
        """`"tools":[...]`, with the cursor of the page after it. None for a cursor that is none of ours."""
        return self._pages.get(cursor)

    @cached_property
    def _pages(self) -> Mapping[str | None, bytes]:
        # When the list is first asked for: schemas cost a replica that is only called milliseconds.
        found = sorted(self._definitions(), key=lambda pair: pair[0])
        pages: dict[str | None, bytes] = {}
        cursor: str | None = None
        for start in range(0, max(len(found), 1), self._page):
            part = found[start : start + self._page]
            written = dump(self._kind) + b":" + dump([definition for _, definition in part])
            following = None
            if start + self._page < len(found):
                following = base64url.written(part[-1][0].encode())
                written += b',"nextCursor":' + dump(following)
            pages[cursor] = written
            cursor = following
        return pages
