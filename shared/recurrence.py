"""When a schedule runs: by a cron expression in a time zone, or every so many seconds."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import takewhile

from shared.errors import Invalid

_FIELD = re.compile(r"[0-9A-Za-z*/,#-]+")
_WIDER = 8


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Exactly one of `cron`, five fields, and `every_s`. All times it takes and gives are in UTC."""

    cron: str | None = None
    every_s: int | None = None
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Raises Invalid for both or none, and for a time zone that does not exist."""
        if (self.cron is None) == (self.every_s is None):
            raise Invalid("exactly one of cron and every_s is needed", fields=["cron", "every_s"])
        if self.timezone not in _zones():
            raise Invalid(f"{self.timezone!r} is not the name of a time zone", field="timezone")

    def first(self, now: datetime) -> datetime:
        """The first run of a schedule that begins now. Raises Invalid for a cron that is none, or never fires."""
        return now + self._step if self.cron is None else self._after(now)

    def following(self, planned: datetime, now: datetime) -> datetime:
        """The first run after now, of those that `planned` is one of."""
        if self.cron is None:
            return planned + self._step * ((now - planned) // self._step + 1)
        return self._after(now)

    def due(self, planned: datetime, now: datetime, *, most: int) -> tuple[list[datetime], bool]:
        """The newest `most` runs from `planned` until now, and whether there were more."""
        found = self._due_steps(planned, now, most) if self.cron is None else self._due_cron(planned, now, most)
        return found[-most:], len(found) > most

    @property
    def _step(self) -> timedelta:
        assert self.every_s is not None
        return timedelta(seconds=self.every_s)

    def _due_steps(self, planned: datetime, now: datetime, most: int) -> list[datetime]:
        count = (now - planned) // self._step + 1
        return [planned + self._step * number for number in range(max(count - most - 1, 0), count)]

    def _due_cron(self, planned: datetime, now: datetime, most: int) -> list[datetime]:
        """Looks back ever further: a year of minutes need not be gone through for its last hundred."""
        span = timedelta(minutes=most)
        while True:
            start = max(planned, now - span)
            found = [planned] if start == planned else []
            found.extend(takewhile(lambda at: at <= now, self._times(start)))
            if start == planned or len(found) > most:
                return found
            span *= _WIDER

    def _after(self, moment: datetime) -> datetime:
        for at in self._times(moment):
            return at
        raise Invalid(f"the cron expression {self.cron!r} never fires", field="cron")

    def _times(self, moment: datetime) -> Iterator[datetime]:
        """All that are later, in order; none where fifty years have none."""
        # Both would cost every function that only reads a schedule its start.
        from zoneinfo import ZoneInfo

        from cronsim import CronSim, CronSimError

        assert self.cron is not None
        fields = self.cron.split()
        if len(fields) != 5 or not all(map(_FIELD.fullmatch, fields)):
            raise Invalid(f"{self.cron!r} is not a cron expression of five fields", field="cron")
        try:
            times = CronSim(self.cron, moment.astimezone(ZoneInfo(self.timezone)))
        except CronSimError as exc:
            raise Invalid(f"{self.cron!r} is not a cron expression, or never fires: {exc}", field="cron") from None
        # In the hour that the end of summer time repeats, it may start with the same time an hour ago.
        yield from (at for found in times if (at := found.astimezone(UTC)) > moment)


@cache
def _zones() -> frozenset[str]:
    """By name, the same on every machine: what a system has installed beside them are no names of IANA's."""
    from importlib.resources import files

    return frozenset(files("tzdata").joinpath("zones").read_text().split())
