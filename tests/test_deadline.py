import asyncio

import pytest

from shared.deadline import Deadline


def test_what_takes_too_long_ends_by_a_timeout_and_the_task_goes_on() -> None:
    async def main() -> int:
        with pytest.raises(TimeoutError), Deadline(0.01):
            await asyncio.sleep(60)
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(0)
        return task.cancelling()

    assert asyncio.run(main()) == 0


def test_what_ends_in_time_is_left_alone() -> None:
    async def main() -> str:
        with Deadline(0.01):
            await asyncio.sleep(0)
        await asyncio.sleep(0.03)
        return "went on"

    assert asyncio.run(main()) == "went on"


def test_a_cancel_from_outside_stays_one() -> None:
    async def main() -> bool:
        began = asyncio.Event()

        async def work() -> None:
            with Deadline(60):
                began.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await began.wait()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())


def test_a_cancel_from_outside_wins_over_a_deadline_that_passes_with_it() -> None:
    async def main() -> bool:
        async def work() -> None:
            task = asyncio.current_task()
            assert task is not None
            with Deadline(0):
                asyncio.get_running_loop().call_soon(task.cancel)
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())


def test_an_error_of_the_work_is_not_hidden_by_the_deadline() -> None:
    async def main() -> None:
        with Deadline(60):
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        asyncio.run(main())
