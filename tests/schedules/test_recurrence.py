"""When schedules run: against a count minute by minute, and where clocks change."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from shared.errors import Invalid
from shared.recurrence import Recurrence

ROOT = Path(__file__).resolve().parents[2]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Auckland"]
RANGES = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]


def _field(low: int, high: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """A field as it is written, and what it stands for."""
    number = st.integers(low, high)
    every = frozenset(range(low, high + 1))
    one = number.map(lambda n: (str(n), frozenset({n})))
    several = st.lists(number, min_size=2, max_size=4).map(lambda ns: (",".join(map(str, ns)), frozenset(ns)))
    span = (
        st.tuples(number, number).map(sorted).map(lambda ab: (f"{ab[0]}-{ab[1]}", frozenset(range(ab[0], ab[1] + 1))))
    )
    step = st.integers(1, high).map(lambda n: (f"*/{n}", frozenset(range(low, high + 1, n))))
    return st.one_of(st.just(("*", every)), one, several, span, step)


Fields = tuple[tuple[str, frozenset[int]], ...]
FIELDS = st.tuples(*(_field(low, high) for low, high in RANGES))
# Seconds of the years 2020 to 2035.
MOMENTS = st.integers(1_577_836_800, 2_051_222_400).map(lambda second: datetime.fromtimestamp(second, UTC))


def _written(fields: Fields) -> str:
    return " ".join(text for text, _ in fields)


def _matches(at: datetime, fields: Fields) -> bool:
    minute, hour, day, month, weekday = (allowed for _, allowed in fields)
    of_month, of_week = at.day in day, at.isoweekday() % 7 in weekday
    both = fields[2][0].startswith("*") or fields[4][0].startswith("*")
    on_day = of_month and of_week if both else of_month or of_week
    return at.minute in minute and at.hour in hour and at.month in month and on_day


def _is_ordinary(start: datetime, end: datetime, zone: ZoneInfo) -> bool:
    return start.astimezone(zone).utcoffset() == end.astimezone(zone).utcoffset()


@limits(deadline=None, max_examples=60)
@given(FIELDS, MOMENTS, st.sampled_from(ZONES))
def test_the_first_run_is_the_one_that_a_count_by_minutes_finds(
    fields: Fields, moment: datetime, zone_name: str
) -> None:
    zone = ZoneInfo(zone_name)
    window = timedelta(days=2)
    assume(_is_ordinary(moment, moment + window, zone))
    minute = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    minutes = (minute + timedelta(minutes=n) for n in range(int(window / timedelta(minutes=1))))
    counted = next((at for at in minutes if _matches(at.astimezone(zone), fields)), None)
    try:
        found = Recurrence(_written(fields), None, zone_name).first(moment)
    except Invalid:
        # The 31st of months that have thirty days, at most.
        assert counted is None
        return
    assert found == counted if counted else found > moment + window - timedelta(minutes=1)


@limits(deadline=None, max_examples=60)
@given(FIELDS.map(_written), MOMENTS, st.sampled_from(ZONES))
def test_runs_follow_one_another_whatever_the_clocks_do(cron: str, moment: datetime, zone_name: str) -> None:
    when = Recurrence(cron, None, zone_name)
    at = moment
    for _ in range(20):
        try:
            following = when.first(at)
        except Invalid:
            return
        assert following > at and following.utcoffset() == timedelta(0)
        at = following


@limits(deadline=None, max_examples=100)
@given(st.integers(1, 90_000), st.integers(0, 400_000), st.integers(0, 999_999), st.integers(1, 7))
def test_intervals_keep_their_step_from_the_planned_time_on(every_s: int, late_s: int, micro: int, most: int) -> None:
    when = Recurrence(None, every_s)
    now = datetime(2026, 5, 1, tzinfo=UTC)
    planned = now - timedelta(seconds=late_s, microseconds=micro)
    counted: list[datetime] = []
    at = planned
    while at <= now and len(counted) < 500_000:
        counted.append(at)
        at += timedelta(seconds=every_s)
    assert when.following(planned, now) == at
    assert when.due(planned, now, most=most) == (counted[-most:], len(counted) > most)


@limits(deadline=None, max_examples=60)
@example("* * * * *", 600_000, 3)
@example("30 2 * * *", 2_000_000, 20)
@given(FIELDS.map(_written), st.integers(0, 5_000_000), st.integers(1, 20))
def test_looking_back_finds_what_looking_forward_does(cron: str, late_s: int, most: int) -> None:
    when = Recurrence(cron, None, "Europe/Berlin")
    now = datetime(2026, 4, 12, 12, 0, 30, tzinfo=UTC)
    planned = now - timedelta(seconds=late_s)
    counted = [planned]
    try:
        while (at := when.first(counted[-1])) <= now:
            counted.append(at)
        following = when.following(planned, now)
    except Invalid:
        return
    assert following == at
    assert when.due(planned, now, most=most) == (counted[-most:], len(counted) > most)


def _runs(cron: str, zone: str, start: str, count: int) -> list[str]:
    """In local time, from a local time on."""
    when, place = Recurrence(cron, None, zone), ZoneInfo(zone)
    at, found = datetime.fromisoformat(start).replace(tzinfo=place).astimezone(UTC), []
    for _ in range(count):
        at = when.first(at)
        found.append(at.astimezone(place).isoformat(timespec="minutes"))
    return found


@pytest.mark.parametrize(
    "cron, zone, start, expected",
    [
        # Clocks go from 02:00 to 03:00: what lies in between comes right after.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00",
            ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"],
        ),
        (
            "30 2 * * *",
            "America/New_York",
            "2026-03-07T12:00",
            ["2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"],
        ),
        (
            "15,45 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00",
            ["2026-03-29T03:00+02:00", "2026-03-30T02:15+02:00", "2026-03-30T02:45+02:00"],
        ),
        (
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-03-29T01:15",
            ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"],
        ),
        (
            "30 * * * *",
            "America/New_York",
            "2026-03-08T00:45",
            ["2026-03-08T01:30-05:00", "2026-03-08T03:30-04:00"],
        ),
        # Clocks go back to 02:00 (01:00 in New York): a fixed time comes once, a star follows the clock.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00",
            ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"],
        ),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00",
            ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"],
        ),
        (
            "30 * * * *",
            "Europe/Berlin",
            "2026-10-25T01:00",
            [f"2026-10-25T{at}" for at in ("01:30+02:00", "02:30+02:00", "02:30+01:00", "03:30+01:00")],
        ),
        (
            "*/30 1 * * *",
            "America/New_York",
            "2026-11-01T00:00",
            [f"2026-11-01T{at}" for at in ("01:00-04:00", "01:30-04:00", "01:00-05:00", "01:30-05:00")],
        ),
        ("0 12 * * *", "Europe/Berlin", "2026-03-28T13:00", ["2026-03-29T12:00+02:00", "2026-03-30T12:00+02:00"]),
    ],
)
def test_a_change_of_clocks_is_met_as_debians_cron_meets_it(
    cron: str, zone: str, start: str, expected: list[str]
) -> None:
    assert _runs(cron, zone, start, len(expected)) == expected


@pytest.mark.parametrize("minute", ["2026-10-25T02:10", "2026-10-25T02:29", "2026-10-25T02:31", "2026-10-25T02:59"])
def test_in_the_repeated_hour_a_fixed_time_does_not_come_again(minute: str) -> None:
    zone = ZoneInfo("Europe/Berlin")
    again = datetime.fromisoformat(minute).replace(tzinfo=zone, fold=1).astimezone(UTC)
    assert Recurrence("30 2 * * *", None, "Europe/Berlin").first(again) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "cron, expected",
    [
        ("0 0 29 2 *", "2028-02-29T00:00+00:00"),
        ("0 0 L * *", "2026-01-31T00:00+00:00"),
        ("0 9 * * MON-FRI", "2026-01-01T09:00+00:00"),
        ("0 0 13 * 5", "2026-01-02T00:00+00:00"),
        ("0 0 * * 7", "2026-01-04T00:00+00:00"),
        ("0 0 * * 1#2", "2026-01-12T00:00+00:00"),
        ("  5   4 *  * * ", "2026-01-01T04:05+00:00"),
    ],
)
def test_what_crontabs_say_is_understood(cron: str, expected: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert Recurrence(cron).first(start).isoformat(timespec="minutes") == expected


@pytest.mark.parametrize(
    "cron",
    [
        *("", " ", "* * * *", "* * * * * *", "@daily", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *"),
        *("* * * * 8", "*/0 * * * *", "5-1 * * * *", "a * * * *", "-1 * * * *", "1,,2 * * * *", "* * * * *; ls"),
        *("\u0661 * * * *", "* * * \u017fep *", "0 0 30 2 *", "0 0 31 4 *", "0 0 */20 2 1#2", "* * * * 1L2"),
    ],
)
def test_a_cron_that_is_none_or_never_fires_is_named(cron: str) -> None:
    with pytest.raises(Invalid) as refused:
        Recurrence(cron).first(datetime(2026, 1, 1, tzinfo=UTC))
    assert repr(cron) in refused.value.message


@limits(deadline=None, max_examples=300)
@given(st.text("0123456789*/,-#LWlw MONJAN", max_size=40) | st.text(max_size=200))
def test_any_text_is_a_cron_or_invalid(cron: str) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    try:
        said = repr(Recurrence(cron).first(moment) > moment)
    except Invalid as refused:
        said = refused.message
    assert said == "True" or repr(cron) in said


@pytest.mark.parametrize(
    "zone",
    ["", "Mars/Olympus", "europe/berlin", "../etc/passwd", "/etc/localtime", "localtime", "America", "UTC\0", "+2"],
)
def test_a_time_zone_that_is_none_is_named(zone: str) -> None:
    with pytest.raises(Invalid) as refused:
        Recurrence("* * * * *", None, zone)
    assert repr(zone) in refused.value.message


@pytest.mark.parametrize("cron, every_s", [(None, None), ("* * * * *", 60)])
def test_a_schedule_has_a_cron_or_an_interval(cron: str | None, every_s: int | None) -> None:
    with pytest.raises(Invalid, match="exactly one"):
        Recurrence(cron, every_s)


def test_reading_schedules_loads_nothing_that_counts_times() -> None:
    names = ("create_schedule", "list_schedules", "start_due_tasks", "update_schedule", "run_schedule")
    loads = "; ".join(f"import functions.schedules.{name}" for name in names)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {loads}; print(sorted({{'cronsim', 'tzdata'}} & sys.modules.keys()))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "[]\n"
