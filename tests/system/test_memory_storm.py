"""A short sample of `make chaos C=memory`."""

import asyncio

from tests.chaos.memory import storm


def test_what_is_remembered_while_workers_are_killed_is_kept_once() -> None:
    targets = asyncio.run(asyncio.wait_for(storm(turns=60, seed=3, seconds=6), 150))
    assert {name: target.value for name, target in targets.items() if not target.holds} == {}
