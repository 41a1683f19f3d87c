"""`make chaos C=simulation`: N schedules of the simulated system from seed S on; N=1 tells the whole story of one."""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.report import Target, at_least, exactly, report
from tests.simulation.runs import RARE, Tally, broken_by, schedule_of, tally, told

_CHUNK = 500


def _chunk(first: int, size: int) -> Tally:
    return tally(range(first, first + size))


def simulate(schedules: int, first: int, seconds: float) -> Tally:
    found = Tally()
    until = time.monotonic() + seconds
    ends = first + schedules
    with ProcessPoolExecutor() as pool:
        # A window of chunks: what is not begun when the time is up never is.
        chunks = iter(range(first, ends, _CHUNK))
        window = {pool.submit(_chunk, at, min(_CHUNK, ends - at)) for _, at in zip(range(64), chunks, strict=False)}
        while window:
            done = window.pop()
            found.add(done.result())
            if time.monotonic() < until and (at := next(chunks, None)) is not None:
                window.add(pool.submit(_chunk, at, min(_CHUNK, ends - at)))
    return found


def _targets(found: Tally, asked: int, bounded: bool) -> dict[str, Target]:
    name, times = found.least()
    return {
        "schedules": at_least(found.schedules, 1 if bounded else asked),
        "schedules that broke a promise": exactly(len(found.broken), 0),
        f"least seen: {name}"[:44]: at_least(times, found.schedules // RARE),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=200_000, help="schedules")
    parser.add_argument("--seeds", type=int, default=0, help="the first seed")
    parser.add_argument("--minutes", type=float, help="begins no further schedules after so long")
    asked = parser.parse_args()
    if asked.tasks == 1:
        why = broken_by(schedule_of(asked.seeds), say=print)
        print(f"BROKEN {why}\n\n{told(asked.seeds)}" if why else "every promise was kept")
        return report("chaos-simulation", {"schedules that broke a promise": exactly(int(why is not None), 0)})
    began = time.monotonic()
    found = simulate(asked.tasks, asked.seeds, (asked.minutes or 1e6) * 60)
    took_s = time.monotonic() - began
    rate = found.schedules / took_s
    print(f"{found.schedules} schedules in {took_s:.0f} s on {os.cpu_count()} cores: {rate:.0f} a second")
    for (old, new), times in sorted(found.moves.items(), key=lambda item: -item[1]):
        print(f"{times:>12} {old or 'none'} -> {new}")
    for fault, times in found.faults.most_common():
        print(f"{times:>12} {fault}")
    if found.broken:
        print(f"\n{told(min(found.broken))}\nagain: make chaos C=simulation N=1 S={min(found.broken)}")
    return report("chaos-simulation", _targets(found, asked.tasks, asked.minutes is not None))


if __name__ == "__main__":
    sys.exit(main())
