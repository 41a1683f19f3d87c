"""P1 to P15, each stated in `tests.simulation.promises`, over the acts in memory and over the statements themselves.

`SUTAZAI_EXAMPLES` multiplies how much is tried.
"""

import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as trying
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from shared import task_states
from shared.config import Settings
from tests.simulation.acts import ACTS, Player, differs, schedule
from tests.simulation.corners import CORNERS, TABLE, Corner
from tests.simulation.postgres import Ground, PostgresRecord, ground
from tests.simulation.record import Record, View

MORE = int(os.environ.get("SUTAZAI_EXAMPLES", "1"))


@pytest.fixture
def here(settings: Settings) -> Iterator[Ground]:
    with ground(settings) as here:
        yield here


def _played(name: str) -> Callable[["_Machine", int, int], None]:
    def play(self: "_Machine", a: int, b: int) -> None:
        self.player.play(name, a, b)

    play.__name__ = name
    return play


class _Machine(RuleBasedStateMachine):
    """One rule for each act; `opened` gives an empty record. A player holds it to its promises after every step."""

    opened: Callable[[], Player]

    def __init__(self) -> None:
        super().__init__()
        self.player = type(self).opened()

    def teardown(self) -> None:
        self.player.rest()


for _name in ACTS:
    setattr(_Machine, _name, rule(a=st.integers(0, 255), b=st.integers(0, 255))(_played(_name)))


def _hold(opened: Callable[[], Player], *, examples: int, steps: int) -> None:
    machine = type("Machine", (_Machine,), {"opened": staticmethod(opened)})
    few = trying(
        max_examples=examples * MORE,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=few)


def test_no_order_of_acts_breaks_a_promise() -> None:
    def opened() -> Player:
        record = Record()
        return Player(record, View(record))

    _hold(opened, examples=100, steps=40)


def test_no_order_of_statements_breaks_a_promise(here: Ground) -> None:
    def opened() -> Player:
        record = PostgresRecord(here)
        return Player(record, record)

    _hold(opened, examples=25, steps=30)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.__name__)
def test_acts_are_as_written_down(row: Callable[[object], None]) -> None:
    row(task_states)


@pytest.mark.parametrize("corner", CORNERS, ids=lambda corner: corner.__name__)
def test_corners_are_as_promised(corner: Corner) -> None:
    record = Record()
    corner(record, View(record))


def test_corners_of_statements_are_as_promised(here: Ground) -> None:
    for corner in CORNERS:
        record = PostgresRecord(here)
        corner(record, record)


def test_statements_do_to_rows_what_the_acts_say(here: Ground) -> None:
    for seed in range(25 * MORE):
        memory, postgres = Record(), PostgresRecord(here)
        players = Player(memory, View(memory), reads=False), Player(postgres, postgres, reads=False)
        assert differs(*players, schedule(seed, 40)) is None, f"seed {seed}"
