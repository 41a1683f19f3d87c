from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from shared.backlog import LEAST, REMEMBERED, Backlog
from shared.errors import Busy


class Line:
    """Who is in a backlog; each is done after as long as `each_s` says."""

    def __init__(self, *, most_s: float) -> None:
        self.now = 100.0
        self.backlog = Backlog("guests", most_s=most_s, clock=lambda: self.now)
        self.inside: list[ExitStack] = []

    def come(self, count: int = 1) -> None:
        stack = ExitStack()
        stack.enter_context(self.backlog.entered(count))
        self.inside.append(stack)

    def go(self, people: int, *, each_s: float) -> None:
        for _ in range(people):
            self.now += each_s
            self.inside.pop(0).close()

    def fill(self) -> int:
        """How many are in when the next one is refused."""
        while len(self.inside) < 10_000:
            try:
                self.come()
            except Busy:
                break
        return len(self.inside)


@contextmanager
def line(*, most_s: float = 1.0, people: int) -> Iterator[Line]:
    here = Line(most_s=most_s)
    for _ in range(people):
        here.come()
    yield here
    here.go(len(here.inside), each_s=0)


def test_nobody_is_refused_before_enough_were_done_to_tell() -> None:
    with line(people=1000) as here:
        here.go(REMEMBERED - 1, each_s=10)
        here.come()
        here.go(1, each_s=10)
        with pytest.raises(Busy):
            here.come()


def test_as_many_are_let_in_as_are_done_within_the_bound() -> None:
    with line(people=1000) as here:
        here.go(850, each_s=0.005)
        assert here.fill() == 201


def test_who_is_refused_is_told_to_come_back_when_those_inside_are_done() -> None:
    with line(people=1000) as here:
        here.go(500, each_s=0.0099)
        with pytest.raises(Busy) as refused:
            here.come()
        assert refused.value.details == {"retry_after": 5}


def test_a_few_are_let_in_however_long_it_takes() -> None:
    with line(people=1000) as here:
        here.go(1000 - LEAST, each_s=10)
        assert here.fill() == LEAST
        here.go(LEAST // 2, each_s=10)
        assert here.fill() == LEAST


def test_what_takes_long_by_itself_is_no_queue() -> None:
    with line(people=1) as here:
        for _ in range(100):
            here.come()
            here.go(1, each_s=60)
        for _ in range(1000):
            here.come()


def test_an_empty_backlog_remembers_nothing() -> None:
    with line(people=1000) as here:
        here.go(1000, each_s=10)
        for _ in range(1000):
            here.come()


def test_those_who_come_together_count_each() -> None:
    with line(people=0) as here:
        for _ in range(10):
            here.come(100)
        here.go(8, each_s=1.0)
        # 200 are in, each of them 10 ms.
        with pytest.raises(Busy):
            here.come()
        here.go(1, each_s=1.0)
        here.come()


def test_those_who_are_done_all_at_once_are_not_taken_for_slow() -> None:
    with line(people=100) as here:
        # 30 of them every 0.3 s, which is 10 ms for each.
        for _ in range(40):
            here.go(1, each_s=0.3)
            here.go(29, each_s=0)
            for _ in range(30):
                if len(here.inside) < LEAST + 26:
                    here.come()
        assert here.fill() >= LEAST + 26


def test_who_fails_is_done_too() -> None:
    backlog = Backlog("guests", most_s=1.0)
    with pytest.raises(ZeroDivisionError), backlog.entered():
        raise ZeroDivisionError
    with backlog.entered():
        assert backlog._inside == 1
