"""How far a transfer is, on standard error: one line that changes on a terminal, elsewhere a line now and then."""

import time
from typing import TextIO

_BAR = 30
_TERMINAL_S = 0.1
_LINES_S = 10.0


class Progress:
    """`total` is what `done` comes to in the end, in whatever unit; None where nobody knows."""

    def __init__(self, out: TextIO, what: str, *, total: int | None) -> None:
        self._out = out
        self._what = what
        self.total = total
        self._is_terminal = out.isatty()
        self._began = self._told = time.monotonic()
        self._from: int | None = None
        self._first_rows = 0

    def tell(self, rows: int, done: int, *, is_last: bool = False) -> None:
        now = time.monotonic()
        if self._from is None:
            # What an earlier run has done says nothing about how fast this one is.
            self._from, self._first_rows = done, rows
        if not is_last and now - self._told < (_TERMINAL_S if self._is_terminal else _LINES_S):
            return
        self._told = now
        line = self._line(rows, done, now - self._began)
        if self._is_terminal:
            self._out.write(f"\r{line}\x1b[K" + ("\n" if is_last else ""))
        else:
            self._out.write(f"{line}\n")
        self._out.flush()

    def note(self, line: str) -> None:
        """Something else, on a line of its own."""
        self._out.write(f"\r\x1b[K{line}\n" if self._is_terminal else f"{line}\n")
        self._out.flush()

    def _line(self, rows: int, done: int, seconds: float) -> str:
        assert self._from is not None
        rate = (rows - self._first_rows) / seconds if seconds > 0 else 0.0
        line = f"{self._what} {rows:,} vectors, {rate:,.0f}/s"
        if not self.total:
            return line
        share = min(done / self.total, 1.0)
        moved = done - self._from
        left = f", {_time((self.total - done) * seconds / moved)} left" if moved and done < self.total else ""
        filled = round(share * _BAR)
        bar = f"[{'#' * filled}{'.' * (_BAR - filled)}] " if self._is_terminal else ""
        return f"{bar}{share:4.0%} {line}{left}"


def _time(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
