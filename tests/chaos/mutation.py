"""`make chaos C=mutation`: small wrong changes to the statements, the acts and the keeper; the proofs have to notice.

With N, that many of each kind, spread evenly, beginning with the S-th.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from shared.config import Settings
from shared.local.postgres import running_postgres
from shared.stores.postgres.migrate import migrate
from tests.report import Target, at_least, exactly, report
from tests.simulation import killers
from tests.simulation.equivalent import reason
from tests.simulation.mutants import SqlMutant
from tests.simulation.postgres import Ground, ground

_SHARE = 8
KINDS: dict[str, Callable[[], Iterator[killers.Mutant]]] = {
    "statements": killers.statements,
    "acts": killers.acts,
    "keeper": killers.keeper,
}


@dataclass
class Found:
    """`alive`: mutants that nothing noticed, but for those that change nothing."""

    killed: int = 0
    equal: int = 0
    alive: list[str] = field(default_factory=list)

    def add(self, other: "Found") -> None:
        self.killed += other.killed
        self.equal += other.equal
        self.alive += other.alive


def tried(kind: str, mutants: Sequence[killers.Mutant], here: Ground) -> Found:
    found = Found()
    for mutant in mutants:
        if isinstance(mutant, SqlMutant):
            if not killers.is_sql(mutant, here):
                continue
            why = killers.statement_fails(mutant, here)
        else:
            why = killers.acts_fail(mutant, here) if kind == "acts" else killers.keeper_fails(mutant)
        if why:
            found.killed += 1
        elif reason(f"{kind}: {mutant}"):
            found.equal += 1
        else:
            found.alive.append(f"{kind}: {mutant}")
    return found


def chosen(mutants: Sequence[killers.Mutant], most: int | None, first: int = 0) -> list[int]:
    """The places of so many, evenly spread."""
    count = len(mutants)
    most = min(most or count, count)
    return [(first + n * count // most) % count for n in range(most)]


@contextmanager
def _server() -> Iterator[str]:
    """A server with a migrated template."""
    with tempfile.TemporaryDirectory(prefix="sutazai-mutation-") as folder, asyncio.Runner() as runner:
        Path(folder).chmod(0o711)
        stack = AsyncExitStack()
        home = Path(folder) / "postgres"
        url = runner.run(stack.enter_async_context(running_postgres(home, fsync=False, say=lambda _: None)))
        try:
            runner.run(_execute(url, "CREATE DATABASE template"))
            runner.run(migrate(_database(url, "template")))
            yield url
        finally:
            runner.run(stack.aclose())


def _database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _share(url: str, kind: str, numbers: Sequence[int]) -> Found:
    """Of the mutants of a kind those with these numbers, in a process and a database of their own."""
    # Mutants complain a lot.
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
    name = f"m{uuid4().hex}"
    asyncio.run(_execute(url, f"CREATE DATABASE {name} TEMPLATE template"))
    every = list(KINDS[kind]())
    with tempfile.TemporaryDirectory() as home:
        settings = Settings.read({"SUTAZAI_HOME": home, "SUTAZAI_POSTGRES_URL": _database(url, name)})
        with ground(settings) as here:
            return tried(kind, [every[number] for number in numbers], here)


def _measure(most: int | None, first: int) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    alive = 0
    with _server() as url, ProcessPoolExecutor() as pool:
        for kind in KINDS:
            began, found = time.monotonic(), Found()
            numbers = chosen(list(KINDS[kind]()), most, first)
            shares = [numbers[at : at + _SHARE] for at in range(0, len(numbers), _SHARE)]
            for share in pool.map(_share, repeat(url), repeat(kind), shares):
                found.add(share)
                for survivor in share.alive:
                    print("alive:", survivor, flush=True)
            counted = found.killed + len(found.alive)
            took_s = time.monotonic() - began
            print(f"{kind}: {counted} mutants and {found.equal} that change nothing, in {took_s:.0f} s")
            targets[f"{kind}: killed, of 1"] = at_least(found.killed / max(counted, 1), 0.9)
            alive += len(found.alive)
    targets["survivors without a reason"] = exactly(alive, 0)
    return targets


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, help="mutants of each kind; all unless given")
    parser.add_argument("--seeds", type=int, default=0, help="where to begin")
    asked = parser.parse_args()
    return report("chaos-mutation", _measure(asked.tasks, asked.seeds))


if __name__ == "__main__":
    sys.exit(main())
