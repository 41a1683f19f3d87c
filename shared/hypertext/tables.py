"""One table on its way to Markdown."""

from dataclasses import dataclass, field

_MOST_COLUMNS = 64


@dataclass(slots=True)
class Table:
    """Takes the lines that are written while a cell is open; once dissolved it takes nothing any more."""

    _rows: list[list[str]] = field(default_factory=list)
    _cell: list[str] | None = None
    _has_head: bool = False
    _dissolved: bool = False

    def begin(self, name: str) -> None:
        if self._dissolved:
            return
        if name == "tr" or not self._rows:
            self._rows.append([])
        if name in ("td", "th"):
            self._cell = []
            self._has_head |= name == "th" and len(self._rows) == 1

    def end(self, name: str) -> None:
        if name in ("td", "th") and self._cell is not None:
            if len(self._rows[-1]) < _MOST_COLUMNS:
                self._rows[-1].append(" ".join(self._cell))
            self._cell = None

    def takes(self, lines: list[str]) -> bool:
        if self._cell is None:
            return False
        self._cell += [line.strip() for line in lines]
        return True

    def dissolved(self) -> list[str]:
        """What it held so far, as plain lines."""
        if self._dissolved:
            return []
        self._dissolved = True
        rows = [*self._rows, self._cell or []]
        self._rows, self._cell = [], None
        return [line for row in rows if (line := " ".join(filter(None, row)))]

    def lines(self) -> list[str]:
        rows = [row for row in self._rows if any(row)]
        columns = max(map(len, rows), default=0)
        if columns < 2:
            return [part for row in rows for part in (*row, "")][:-1]
        head = rows.pop(0) if self._has_head else []
        head += [""] * (columns - len(head))
        return [_line(head), "|" + " --- |" * columns, *map(_line, rows)]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
