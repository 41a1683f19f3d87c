"""What the one active keeper does, and when, by a clock that leaps."""

from collections.abc import Callable

import pytest

from functions.keeper import keep
from tests.keeper.keeping import PROMISES, Keep


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_the_keeper_keeps(promise: Callable[[Keep], None]) -> None:
    promise(keep)
