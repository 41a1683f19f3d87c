"""A sample of mutants, each of which the proofs have to notice; `make chaos C=mutation` tries them all."""

from collections.abc import Iterator

import pytest

from functions.keeper import keep
from shared import task_states
from shared.config import Settings
from tests.chaos.mutation import KINDS, chosen, tried
from tests.keeper.keeping import PROMISES
from tests.simulation.equivalent import reason
from tests.simulation.killers import SCENARIOS, differ, seeds
from tests.simulation.postgres import Ground, ground

OF_EACH = 10


@pytest.fixture
def here(settings: Settings) -> Iterator[Ground]:
    with ground(settings) as here:
        yield here


def test_what_is_as_it_should_be_is_spared(here: Ground) -> None:
    assert differ(seeds()[0], here, task_states) is None
    assert [scenario(here) for scenario in SCENARIOS] == [None] * len(SCENARIOS)
    for promise in PROMISES:
        promise(keep)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_of_mutants_is_noticed(here: Ground, kind: str) -> None:
    mutants = list(KINDS[kind]())
    found = tried(kind, [mutants[number] for number in chosen(mutants, OF_EACH)], here)
    assert found.alive == []
    assert found.killed >= OF_EACH // 2


def test_few_mutants_change_nothing() -> None:
    for kind, mutants in KINDS.items():
        names = [f"{kind}: {mutant}" for mutant in mutants()]
        assert len([name for name in names if reason(name)]) < len(names) / 8
