"""A short sample of `make chaos C=local`."""

import asyncio

from tests.chaos.local import storm


def test_what_is_accepted_while_processes_are_killed_ends_once() -> None:
    targets = asyncio.run(asyncio.wait_for(storm(tasks=150, seed=7, seconds=10), 150))
    assert {name: target.value for name, target in targets.items() if not target.holds} == {}
