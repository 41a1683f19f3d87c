"""The supervisor and the state folder's lock, with real processes."""

import asyncio
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from shared.local.lock import (
    HomeInUse,
    PortTaken,
    ended_by_signals,
    holder,
    locked,
    password,
    pick_port,
    remembered_port,
    stop_holder,
)
from shared.local.supervisor import Service, ServiceFailed, Supervisor

T = TypeVar("T")

REPOSITORY = Path(__file__).resolve().parents[2]

HOLDING = """
import asyncio, sys
from pathlib import Path
from shared.local.lock import ended_by_signals, locked
from shared.local.supervisor import Supervisor
from tests.local.test_supervisor import service

async def main(home: Path) -> None:
    with ended_by_signals():
        async with locked(home), Supervisor(home, [service(home, "one"), service(home, "two")]) as supervisor:
            print(*(pid for pids in supervisor.pids.values() for pid in pids), flush=True)
            await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


def service(home: Path, name: str, script: str = 'touch "$0"; exec sleep 600') -> Service:
    """A process that answers by making a file."""
    mark = home / f"{name}.ready"

    async def ready() -> bool:
        return mark.exists()

    return Service(
        name=name,
        role=name,
        argv=("/bin/sh", "-c", script, str(mark)),
        ready=ready,
        before_start=lambda: mark.unlink(missing_ok=True),
        start_timeout_s=10.0,
        stop_timeout_s=5.0,
    )


def within_a_minute(main: Coroutine[object, object, T]) -> T:
    return asyncio.run(asyncio.wait_for(main, 60))


def wait_until_gone(pid: int, within_s: float = 10.0) -> None:
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            ended, _, _ = select.select([descriptor], [], [], within_s)
        finally:
            os.close(descriptor)
        assert ended, f"process {pid} still runs"


@contextmanager
def holding_process(home: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A supervisor in a process of its own, and all its pids, its own first."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(home)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], 20)
            assert ready, "the supervisor did not start"
            yield process, [int(pid) for pid in process.stdout.readline().split()]
        finally:
            process.kill()


def restarts() -> tuple[asyncio.Queue[str], Callable[[str], None]]:
    queue: asyncio.Queue[str] = asyncio.Queue()
    return queue, queue.put_nowait


def test_a_child_killed_without_warning_is_started_again(tmp_path: Path) -> None:
    async def main() -> None:
        restarted, on_restart = restarts()
        async with Supervisor(tmp_path, [service(tmp_path, "one")], on_restart=on_restart) as supervisor:
            [first] = supervisor.pids["one"]
            for _ in range(2):
                [current] = supervisor.pids["one"]
                os.kill(current, signal.SIGKILL)
                assert await restarted.get() == "one"
            [last] = supervisor.pids["one"]
            recorded = json.loads((tmp_path / "run" / "pids.json").read_text())
            assert last != first
            assert recorded == {"supervisor": [os.getpid()], "one": [last]}

    within_a_minute(main())


def test_what_a_dead_child_started_does_not_outlive_it(tmp_path: Path) -> None:
    async def main() -> None:
        restarted, on_restart = restarts()
        script = 'sleep 600 & echo $! > "$0.new"; mv "$0.new" "$0"; wait'
        one = service(tmp_path, "one", script)
        async with Supervisor(tmp_path, [one], on_restart=on_restart) as supervisor:
            grandchild = int((tmp_path / "one.ready").read_text())
            os.kill(supervisor.pids["one"][0], signal.SIGKILL)
            await restarted.get()
            wait_until_gone(grandchild)
            grandchild = int((tmp_path / "one.ready").read_text())
        wait_until_gone(grandchild)

    within_a_minute(main())


def test_a_supervisor_killed_without_warning_takes_its_children_with_it(tmp_path: Path) -> None:
    with holding_process(tmp_path) as (process, pids):
        assert len(pids) == 3
        process.kill()
        for pid in pids:
            wait_until_gone(pid)


def test_services_stop_in_reverse_order(tmp_path: Path) -> None:
    order = tmp_path / "order"
    script = 'trap "echo {name} >> {order}; exit" TERM; touch "$0"; while :; do sleep 0.01; done'

    async def main() -> None:
        names = ("one", "two", "three")
        services = [service(tmp_path, name, script.format(name=name, order=order)) for name in names]
        async with Supervisor(tmp_path, services) as supervisor:
            assert list(supervisor.pids) == ["supervisor", *names]

    within_a_minute(main())
    assert order.read_text().split() == ["three", "two", "one"]
    assert not (tmp_path / "run" / "pids.json").exists()


def test_a_child_that_ignores_its_stop_signal_is_killed_after_its_deadline(tmp_path: Path) -> None:
    said: list[str] = []

    async def main() -> int:
        deaf = service(tmp_path, "deaf", 'trap "" TERM; touch "$0"; while :; do sleep 0.01; done')
        async with Supervisor(tmp_path, [replace(deaf, stop_timeout_s=0.2)], say=said.append) as supervisor:
            return supervisor.pids["deaf"][0]

    wait_until_gone(within_a_minute(main()))
    assert said == ["deaf did not stop in time and is killed"]


def test_a_service_that_ends_before_it_answers_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    async def main() -> None:
        broken = service(tmp_path, "broken", "echo no such table; exit 3")
        async with Supervisor(tmp_path, [service(tmp_path, "one"), broken]):
            pass

    with pytest.raises(ServiceFailed, match="broken ended with 3 before it answered:\nno such table"):
        within_a_minute(main())
    assert not (tmp_path / "run" / "pids.json").exists()


def test_a_service_that_never_answers_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    async def main() -> None:
        silent = replace(service(tmp_path, "silent", "echo thinking; exec sleep 600"), start_timeout_s=0.3)
        async with Supervisor(tmp_path, [silent]):
            pass

    with pytest.raises(ServiceFailed, match=r"silent did not answer within 0.3 s:\nthinking"):
        within_a_minute(main())


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with Supervisor(tmp_path, [replace(service(tmp_path, "one"), argv=("/no/such/program",))]):
            pass

    with pytest.raises(ServiceFailed, match="one cannot be started"):
        within_a_minute(main())


def test_an_early_end_with_a_passing_reason_is_tried_again(tmp_path: Path) -> None:
    script = '[ -e "$0.seen" ] || { touch "$0.seen"; echo port is busy; exit 1; }; touch "$0"; exec sleep 600'

    async def main() -> None:
        one = replace(
            service(tmp_path, "one", script),
            transient=("is busy",),
            start_retry_s=10.0,
        )
        async with Supervisor(tmp_path, [one]) as supervisor:
            assert len(supervisor.pids["one"]) == 1

    within_a_minute(main())


def test_a_service_that_is_not_to_be_restarted_stays_ended(tmp_path: Path) -> None:
    async def main() -> None:
        said: asyncio.Queue[str] = asyncio.Queue()
        once = replace(service(tmp_path, "once"), restart=False)
        async with Supervisor(tmp_path, [once], say=said.put_nowait) as supervisor:
            os.kill(supervisor.pids["once"][0], signal.SIGKILL)
            assert await said.get() == "once was ended by SIGKILL"
            assert supervisor.pids == {"supervisor": [os.getpid()]}

    within_a_minute(main())


def test_a_large_log_is_put_aside_on_start(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "one.log").write_bytes(b"x" * 5_000_001)

    async def main() -> None:
        async with Supervisor(tmp_path, [service(tmp_path, "one")]):
            pass

    within_a_minute(main())
    assert (tmp_path / "log" / "one.log.1").stat().st_size == 5_000_001
    assert (tmp_path / "log" / "one.log").stat().st_size == 0


def test_children_can_be_supervised_under_uvloop(tmp_path: Path) -> None:
    import uvloop

    async def main() -> None:
        restarted, on_restart = restarts()
        async with Supervisor(tmp_path, [service(tmp_path, "one")], on_restart=on_restart) as supervisor:
            os.kill(supervisor.pids["one"][0], signal.SIGKILL)
            assert await asyncio.wait_for(restarted.get(), 20) == "one"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_a_second_holder_is_refused_by_name_of_the_first(tmp_path: Path) -> None:
    async def main() -> None:
        async with locked(tmp_path):
            with pytest.raises(HomeInUse, match=f"in use by process {os.getpid()}"):
                async with locked(tmp_path, wait_s=0.2):
                    pass
        assert holder(tmp_path) is None

    within_a_minute(main())


def test_a_holder_is_waited_for_while_it_ends(tmp_path: Path) -> None:
    async def main(process: subprocess.Popen[str]) -> None:
        waiting = asyncio.create_task(enter_and_leave(tmp_path))
        # It has asked once, and been refused, by the time it first gives way.
        await asyncio.sleep(0)
        process.terminate()
        await waiting

    with holding_process(tmp_path) as (process, _):
        within_a_minute(main(process))
        assert process.wait(timeout=10) == 0


async def enter_and_leave(home: Path) -> None:
    async with locked(home):
        pass


def test_the_holder_is_found_and_stopped_with_all_it_runs(tmp_path: Path) -> None:
    with holding_process(tmp_path) as (process, pids):
        assert holder(tmp_path) == pids[0]
        assert within_a_minute(stop_holder(tmp_path)) is True
        assert process.wait(timeout=10) == 0
        for pid in pids:
            wait_until_gone(pid)
        assert within_a_minute(stop_holder(tmp_path)) is False


def test_a_number_left_in_the_record_does_not_end_a_stranger(tmp_path: Path) -> None:
    stale = json.dumps({"supervisor": [os.getpid()]})
    with holding_process(tmp_path) as (process, pids):
        (tmp_path / "run" / "pids.json").write_text(stale)
        assert holder(tmp_path) == pids[0]
        assert within_a_minute(stop_holder(tmp_path)) is True
        assert process.wait(timeout=10) == 0
    (tmp_path / "run" / "pids.json").write_text(stale)
    assert within_a_minute(stop_holder(tmp_path)) is False


def test_a_state_folder_that_was_never_used_has_no_holder(tmp_path: Path) -> None:
    assert holder(tmp_path / "none") is None


def test_a_signal_ends_the_block_quietly_and_only_once(tmp_path: Path) -> None:
    async def main() -> list[str]:
        done: list[str] = []
        with ended_by_signals():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.Event().wait()
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.to_thread(time.monotonic)
                done.append("stopped")
        done.append("left")
        return done

    assert within_a_minute(main()) == ["stopped", "left"]


def test_a_port_is_picked_once_and_kept_while_it_is_free(tmp_path: Path) -> None:
    async def main() -> None:
        first = await pick_port(tmp_path, "api")
        assert await pick_port(tmp_path, "api") == first == remembered_port(tmp_path, "api")
        assert await pick_port(tmp_path, "ui") != first
        with socket.socket() as other:
            other.bind(("127.0.0.1", first))
            other.listen()
            assert await pick_port(tmp_path, "api") != first
            with pytest.raises(PortTaken, match=str(first)):
                await pick_port(tmp_path, "api", first, wait_s=0.1)
        assert await pick_port(tmp_path, "api", first) == first == remembered_port(tmp_path, "api")

    within_a_minute(main())


def test_a_port_that_was_never_picked_is_not_remembered(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="'api'"):
        remembered_port(tmp_path, "api")


def test_a_password_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    made = password(tmp_path, "store")
    path = tmp_path / "keys" / "store.password"
    assert len(made) >= 32
    assert password(tmp_path, "store") == made == path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
