"""CPU time of the processes under measurement, so that neighbours on the machine do not count."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def family(pid: int) -> set[int]:
    """A process and all its descendants."""
    parents = {int(entry.name): _stat(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    found, grown = {pid}, True
    while grown:
        more = {child for child, stat in parents.items() if stat and int(stat[1]) in found} - found
        found |= more
        grown = bool(more)
    return found


def cpu_s(pids: set[int]) -> float:
    """User and system time, with that of children that have ended."""
    return sum(sum(int(field) for field in stat[11:15]) for pid in pids if (stat := _stat(pid))) / _TICKS
