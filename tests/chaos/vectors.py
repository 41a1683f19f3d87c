"""`make chaos C=vectors`: engines and their service are killed and falsified, and come back to what the record is.

N: operations of random traces; S: seeds that they and the kills are spread over, fresh ones unless FIRST is given.
"""

import argparse
import asyncio
import logging
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from shared.config import Settings
from shared.local.postgres import running_postgres
from shared.stores.postgres.migrate import migrate
from tests.chaos._seeds import Worst, keep_worst
from tests.chaos._vector_damage import drift_and_snapshots
from tests.chaos._vector_kills import kills
from tests.report import Target, at_least, exactly, report
from tests.vectors.layer import layer
from tests.vectors.layer_trace import LayerTrace, Violation


async def traces(seeds: Sequence[int], operations: int) -> dict[str, Target]:
    """Whatever happens to engines, answers are the record's."""
    done: Counter[str] = Counter()
    violations = 0
    # That engines are away is what is done here, time and again.
    logging.getLogger("sutazai.vectors").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="sutazai-chaos-") as folder:
        Path(folder).chmod(0o711)
        async with running_postgres(Path(folder) / "postgres", fsync=False, say=lambda _: None) as url:
            await migrate(url)
            for seed in seeds:
                home = Path(folder) / f"home-{seed}"
                settings = Settings.read({"SUTAZAI_HOME": str(home), "SUTAZAI_POSTGRES_URL": url})
                violations += not await _traced(settings, seed, operations // len(seeds), done)
    print("traces:", dict(done))
    return {
        "trace operations": at_least(sum(done[name] for name in LayerTrace.OPERATIONS), operations * (not violations)),
        "trace violations": exactly(violations, 0),
    }


async def _traced(settings: Settings, seed: int, operations: int, done: Counter[str]) -> bool:
    async with layer(settings, name=f"ada-{seed}") as here:
        trace = LayerTrace(here, seed)
        try:
            await trace.run(operations)
        except Violation as violation:
            print(f"trace of seed {seed}: {violation}", flush=True)
            return False
        finally:
            done.update(trace.done)
    return True


async def _all(asked: argparse.Namespace) -> dict[str, Target]:
    first = secrets.randbits(32) if asked.first is None else asked.first
    seeds = [first + at for at in range(asked.seeds)]
    print(f"seeds {seeds}: --first {first} repeats them", flush=True)
    found: dict[str, Target] = {}
    parts: dict[str, Callable[[], Awaitable[dict[str, Target]]]] = {
        "traces": lambda: traces(seeds, asked.tasks),
        "kills": lambda: _killed(seeds, asked.kills),
        "drift": lambda: drift_and_snapshots(first),
    }
    for name, run in parts.items():
        if asked.part in (name, "all"):
            found |= await run()
    return found


async def _killed(seeds: Sequence[int], count: int) -> dict[str, Target]:
    """By turns with Chroma's server and without; the worst seed counts, but for how many there were."""
    worst: Worst = {}
    total = 0.0
    each = -(-count // len(seeds))
    for at, seed in enumerate(seeds):
        found = await kills(seed, each, server=at % 2 == 0)
        total += found["kills"].value
        keep_worst(worst, found)
    return worst | {"kills": at_least(total, count)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("all", "traces", "kills", "drift"), default="all")
    parser.add_argument("--tasks", type=int, default=10_000, help="operations of all traces together")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--first", type=int, help="the first seed, to play it again")
    return report("chaos-vectors", asyncio.run(_all(parser.parse_args())))


if __name__ == "__main__":
    sys.exit(main())
