import asyncio
import os
import threading

import pytest

from shared.running import running_loop, running_task


def test_it_is_the_loop_and_the_task_that_asyncio_names() -> None:
    async def same() -> bool:
        return running_loop() is asyncio.get_running_loop() and running_task() is asyncio.current_task()

    # One after another in one thread: what was found in the first is not taken for the second's.
    assert asyncio.run(same()) and asyncio.run(same())


def test_where_no_loop_runs_there_is_none() -> None:
    async def nothing() -> None:
        running_loop()

    asyncio.run(nothing())
    with pytest.raises(RuntimeError):
        running_loop()


def test_each_thread_has_its_own() -> None:
    found: list[bool] = []

    async def look() -> None:
        found.append(running_loop() is asyncio.get_running_loop())

    async def beside() -> None:
        running_loop()
        thread = threading.Thread(target=asyncio.run, args=(look(),))
        thread.start()
        await asyncio.to_thread(thread.join)
        await look()

    asyncio.run(beside())
    assert found == [True, True]


def test_a_child_that_was_forked_from_within_a_loop_has_none() -> None:
    async def fork() -> int:
        running_loop()
        child = os.fork()
        if child == 0:
            try:
                running_loop()
            except RuntimeError:
                os._exit(7)
            os._exit(1)
        return child

    assert os.waitstatus_to_exitcode(os.waitpid(asyncio.run(fork()), 0)[1]) == 7
