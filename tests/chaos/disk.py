"""`make chaos C=disk`: PostgreSQL's disk, a small tmpfs, fills up under load; it is freed, and nothing was lost."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos._cluster import Cluster, Shape, cluster
from tests.chaos._load import Load, loaded
from tests.chaos._seeds import asked
from tests.chaos._work import judged, until_ended
from tests.report import Target, at_least, at_most, exactly, report, unsupported
from tests.system.platform import Client

_SIZE_MIB = 400
_FULL_S = 8.0
_OVER_S = 15.0
# What a full disk may answer: that it cannot be done now, and that it may later.
_HONEST = frozenset({"503", "504", "ReadTimeout"})


@contextmanager
def small_disk() -> Iterator[Path]:
    """Raises OSError where a file system cannot be mounted."""
    with tempfile.TemporaryDirectory(prefix="sutazai-disk-") as name:
        Path(name).chmod(0o755)
        mounted = Path(name) / "home"
        mounted.mkdir()
        options = f"size={_SIZE_MIB}m,mode=0711"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(mounted)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise OSError(done.stderr.strip())
        try:
            yield mounted
        finally:
            subprocess.run(["umount", "--lazy", str(mounted)], check=False, timeout=30)


def _fill(home: Path) -> Path:
    """To the last byte, as anything else on the machine may."""
    ballast = home / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return ballast


async def _full(here: Cluster, load: Load) -> dict[str, Target]:
    load.refused.clear()
    ballast = await asyncio.to_thread(_fill, here.home)
    until = time.monotonic() + _FULL_S
    while time.monotonic() < until:
        await asyncio.sleep(0.5)
        # What the server frees by itself is taken again.
        with ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                pass
    refused = dict(load.refused)
    ballast.unlink()
    freed = time.monotonic()
    before = len(load.ids)
    async with asyncio.timeout(90):
        while len(load.ids) < before + 20:
            await asyncio.sleep(0.1)
    back_s = time.monotonic() - freed
    print(f"while it was full: {refused}; accepted again {back_s:.1f} s after it was freed")
    return {
        "refusals while it was full": at_least(sum(refused.values()), 1),
        "refusals without a reason": exactly(sum(n for why, n in refused.items() if why not in _HONEST), 0),
        "seconds until it goes on": at_most(back_s, _OVER_S),
    }


async def disk(home: Path) -> dict[str, Target]:
    async with cluster(Shape(functions=False), home=home) as here, Client(here.apis[0]) as client:
        # Longer than any process waits for the record.
        client.http.timeout = 45
        async with loaded(client) as load:
            await asyncio.sleep(2)
            told = await _full(here, load)
        over_s = await until_ended(here, load.ids, since=time.monotonic())
        return {**told, "seconds until all ended": at_most(over_s, _OVER_S), **await judged(here, load.ids)}


def main() -> int:
    asked(__doc__)
    if os.geteuid() != 0:
        return unsupported("chaos-disk", "a small file system of one's own needs root")
    try:
        with small_disk() as home:
            return report("chaos-disk", asyncio.run(disk(home)))
    except OSError as exc:
        return unsupported("chaos-disk", str(exc))


if __name__ == "__main__":
    sys.exit(main())
