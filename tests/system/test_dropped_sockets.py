"""A client whose socket breaks again and again sees every change of its tasks once, in order."""

import asyncio

from tests.chaos.sockets import storm


def test_dropping_sockets_loses_and_repeats_nothing() -> None:
    targets = asyncio.run(storm(300, 30, seed=1, kill_every=15))
    assert {key: target.value for key, target in targets.items() if not target.holds} == {}
