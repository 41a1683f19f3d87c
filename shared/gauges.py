"""What a process counts of itself, for Prometheus to read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
Read = Callable[[], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class _Gauge:
    about: str
    label: str | None
    read: Read

    def lines(self, name: str) -> Iterator[str]:
        yield f"# HELP {name} {self.about}"
        yield f"# TYPE {name} gauge"
        for value, number in sorted(self.read().items()):
            yield f"{name}{self._labelled(value)} {number}"

    def _labelled(self, value: str) -> str:
        if self.label is None:
            return ""
        escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        return f'{{{self.label}="{escaped}"}}'


class Gauges:
    """Those of one process: whoever has something to show adds it, and what answers at its port asks for all."""

    def __init__(self) -> None:
        self._shown: dict[str, _Gauge] = {}

    def __bool__(self) -> bool:
        return bool(self._shown)

    def show(self, name: str, about: str, read: Read, *, label: str | None = None) -> None:
        """`read` gives numbers by the label's value, or one of any name where there is no label; what it does not know
        now it leaves out. It is called at every scrape, and has to be quick."""
        self._shown[name] = _Gauge(about, label, read)

    def text(self) -> bytes:
        """In Prometheus' exposition format."""
        lines = (line for name, gauge in sorted(self._shown.items()) for line in gauge.lines(name))
        return "".join(f"{line}\n" for line in lines).encode()
