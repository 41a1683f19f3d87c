"""Buckets in one process: no window holds more than burst + rate x t, whatever is forgotten and whatever clocks do."""

from hypothesis import given
from hypothesis import strategies as st

from shared.stores.gcra import Memory, Plan

PLANS = st.builds(Plan, interval_us=st.integers(1, 5000), burst=st.integers(1, 30))
PAUSES = st.lists(st.integers(0, 8000), max_size=120)
START = 10**15


def _holds(times: list[int], plan: Plan) -> bool:
    return all(
        last - first + 1 <= plan.burst + (times[last] - times[first]) / plan.interval_us
        for first in range(len(times))
        for last in range(first, len(times))
    )


@given(PLANS, PAUSES)
def test_no_window_holds_more_than_the_burst_and_the_rate(plan: Plan, pauses: list[int]) -> None:
    now, tat, admitted = START, 0, []
    for pause in pauses:
        now += pause
        passes, tat = plan.take(tat, now)
        if passes:
            admitted.append(now)
        # What is refused is refused for as long as it takes to earn one.
        else:
            assert not plan.take(tat, tat - plan.depth_us + plan.interval_us - 1)[0]
            assert plan.take(tat, tat - plan.depth_us + plan.interval_us)[0]
    assert _holds(admitted, plan)


@given(PLANS)
def test_the_whole_burst_passes_at_once_and_one_more_per_interval(plan: Plan) -> None:
    tat, passed = 0, []
    for now in [START] * (plan.burst + 3) + [START + plan.interval_us] * 2 + [START + plan.depth_us * 3] * plan.burst:
        passes, tat = plan.take(tat, now)
        passed.append(passes)
    assert passed == [True] * plan.burst + [False] * 3 + [True, False] + [True] * plan.burst


@given(PLANS, st.integers(1, 40), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8000)), max_size=150))
def test_parts_of_a_plan_keep_to_it_together(plan: Plan, parts: int, steps: list[tuple[int, int]]) -> None:
    """Each of several processes, from the moment it decides alone."""
    share, now = plan.share(parts), START
    memories = [Memory(START, 10) for _ in range(min(parts, 4))]
    admitted = []
    for process, pause in steps:
        now += pause
        if memories[process % len(memories)].take("ada", share, now)[0]:
            admitted.append(now)
    assert _holds(admitted, plan)
    # Nothing is left over from before: what Redis let pass until then may have been the whole burst.
    assert len(admitted) <= (now - START) / plan.interval_us


@given(PLANS, st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4000)), max_size=150))
def test_what_is_forgotten_is_never_forgiven(plan: Plan, steps: list[tuple[int, int]]) -> None:
    memory, now = Memory(START, 2), START
    admitted: dict[int, list[int]] = {}
    for who, pause in steps:
        now += pause
        if memory.take(str(who), plan, now)[0]:
            admitted.setdefault(who, []).append(now)
    for times in admitted.values():
        assert _holds([START] * plan.burst + times, plan)


def test_what_redis_has_been_told_is_kept_as_its_floor() -> None:
    memory = Memory(START, 2)
    memory.learn("ada", START + 5, alone=False)
    assert (memory.floor("ada"), memory.floor("bob")) == (START + 5, 0)
    for who in ("bob", "eve", "joe"):
        memory.learn(who, START + 9, alone=False)
    # Those that Redis knows as well may be forgotten; those that it does not must not.
    assert memory.floor("ada") == 0
    memory.learn("kim", START + 10, alone=True)
    assert memory.floor("ada") == START + 9


def test_a_clock_that_turns_out_to_be_another_moves_all_that_is_known() -> None:
    plan = Plan(1000, 2)
    memory = Memory(START, 10)
    memory.learn("ada", START + 2000, alone=False)
    memory.shift(10**9)
    assert not memory.take("ada", plan, START + 10**9)[0]
    assert memory.take("ada", plan, START + 10**9 + 1000)[0]


@given(PLANS, st.integers(-(10**9), 10**9))
def test_a_clock_that_goes_back_makes_nobody_wait_longer_than_a_full_debt(plan: Plan, ahead: int) -> None:
    passes, tat = plan.take(START + ahead, START)
    assert tat <= START + plan.depth_us
    assert plan.take(tat, START + plan.interval_us)[0] or passes
