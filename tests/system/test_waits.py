"""A short sample of `make bench B=waits`."""

import asyncio
import tempfile
from pathlib import Path

from tests.bench._waiting import Asked, Asker
from tests.system.platform import Platform

NAP = Asked("everything", "trigger-long-running-operation", [{"duration": 0.4, "steps": 1}])


async def _started(platform: Platform) -> tuple[list[float], list[float]]:
    """How long 6 urgent tasks waited that came after 72 low ones, of which 8 run at once, and those."""
    async with asyncio.timeout(60), Asker.on(platform) as asker:
        low = await asker.ask(NAP, 72, priority=1)
        urgent = await asker.ask(NAP, 6, priority=9)
        assert await asker.until_none([*low, *urgent], "queued", within_s=50)
        return (await asker.times(urgent)).waits, (await asker.times(low)).waits


def test_urgent_tasks_do_not_wait_for_a_backlog_of_low_ones() -> None:
    with tempfile.TemporaryDirectory(prefix="sutazai-waits-") as folder:
        Path(folder).chmod(0o755)
        with Platform(Path(folder) / "home", SUTAZAI_WORKERS="2", SUTAZAI_WORKER_TASKS="4") as platform:
            urgent, low = asyncio.run(_started(platform))
    # In the order of their coming the urgent ones would have been the last.
    assert max(urgent) < sorted(low)[len(low) // 2]
