"""What comes in one turn of the loop is done together, at once or in a thread."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.stores.faiss.draining import Drained

_PATIENCE_S = 60


def _play(run: "_Doubling", *, size: int = 8, is_long: bool = False, count: int = 20) -> list[int | BaseException]:
    async def main() -> list[int | BaseException]:
        with ThreadPoolExecutor(2) as executor:
            drained: Drained[int, int] = Drained(run, lambda _: is_long, executor=executor, size=size, parallel=2)
            async with asyncio.timeout(_PATIENCE_S):
                found = await asyncio.gather(*map(drained.submit, range(count)), return_exceptions=True)
                await drained.close()
            return found

    return asyncio.run(main())


class _Doubling:
    def __init__(self, bad: int = -1) -> None:
        self.batches: list[int] = []
        self.threads: set[int] = set()
        self._bad = bad

    def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(len(items))
        self.threads.add(threading.get_ident())
        if self._bad in items:
            raise ValueError(f"it holds {self._bad}")
        return [2 * item for item in items]


@pytest.mark.parametrize("is_long", [False, True])
def test_what_comes_at_once_is_done_together_and_each_gets_its_own(is_long: bool) -> None:
    run = _Doubling()
    assert _play(run, is_long=is_long) == [2 * n for n in range(20)]
    assert sorted(run.batches) == [4, 8, 8]
    assert (threading.get_ident() in run.threads) is not is_long


@pytest.mark.parametrize("is_long", [False, True])
def test_a_batch_that_fails_fails_for_all_of_it_and_for_no_other(is_long: bool) -> None:
    found = _play(_Doubling(bad=9), is_long=is_long)
    assert [isinstance(each, ValueError) for each in found] == [False] * 8 + [True] * 8 + [False] * 4


def test_what_comes_while_the_threads_are_busy_makes_up_the_next_batch() -> None:
    busy, let_go = threading.Semaphore(0), threading.Event()
    batches: list[list[int]] = []

    def run(items: Sequence[int]) -> Sequence[int]:
        batches.append(list(items))
        busy.release()
        assert let_go.wait(_PATIENCE_S)
        return items

    async def main() -> None:
        with ThreadPoolExecutor(2) as executor:
            drained: Drained[int, int] = Drained(run, lambda _: True, executor=executor, size=8, parallel=2)
            async with asyncio.timeout(_PATIENCE_S):
                tasks = []
                for number in range(2):
                    tasks.append(asyncio.create_task(drained.submit(number)))
                    await asyncio.to_thread(busy.acquire)
                tasks += [asyncio.create_task(drained.submit(number)) for number in range(2, 7)]
                while len(drained._waiting) < 5:
                    await asyncio.sleep(0)
                tasks[3].cancel()
                let_go.set()
                found = await asyncio.gather(*tasks, return_exceptions=True)
                await drained.close()
            assert [n if isinstance(n, int) else type(n) for n in found] == [0, 1, 2, asyncio.CancelledError, 4, 5, 6]

    asyncio.run(main())
    assert batches == [[0], [1], [2, 3, 4, 5, 6]]
