"""Changes of tasks over a socket: each once, in order, also for those who were away."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from shared.config import Settings
from shared.ports.live import TaskFeed
from shared.wiring import Ports
from tests.realtime.served import Frame, House, Socket, at_home


def _is_over(frame: Frame) -> bool:
    return frame["type"] == "task_progress" and frame["status"] in ("succeeded", "failed", "cancelled", "expired")


async def _course(socket: Socket, ends: int) -> list[Frame]:
    """Every change of state until so many tasks have ended."""
    frames: list[Frame] = []
    while ends:
        found = await socket.until(_is_over)
        frames += [frame for frame in found if frame["seq"] is not None]
        ends -= 1
    return frames


def _statuses(frames: Sequence[Frame], task_id: UUID) -> list[str]:
    return [frame["status"] for frame in frames if frame["task_id"] == str(task_id)]


WHOLE = ["queued", "running", "succeeded"]


def test_each_change_of_a_task_is_told_once_and_in_order(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada, bob = await house.person("ada"), await house.person("bob")
        async with house.socket(ada) as socket:
            answer = await socket.ask(type="subscribe", channels=["task_status"])
            assert answer == {"type": "subscribed", "channels": ["task_status"]}
            await house.run(bob)
            [task_id] = await house.run(ada)
            frames = await _course(socket, 1)
            seqs = [frame["seq"] for frame in frames]
            assert seqs == sorted(set(seqs))
            common = {"type": "task_progress", "task_id": str(task_id), "seq": 0}
            assert [{**frame, "seq": 0} for frame in frames] == [
                {**common, "progress": 0.0, "status": "queued", "message": ""},
                {**common, "progress": 0.0, "status": "running", "message": "attempt 1"},
                {**common, "progress": 100.0, "status": "succeeded", "message": ""},
            ]

    at_home(settings, scenario)


def test_whoever_comes_back_gets_what_they_missed_and_nothing_twice(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        async with house.socket(ada) as socket:
            await socket.ask(type="subscribe", channels=["task_status"])
            first = await house.run(ada, 3)
            seen = await _course(socket, 3)
        missed = await house.run(ada, 700)
        async with house.socket(ada) as socket:
            await socket.ask(type="subscribe", channels=["task_status"], last_seq=seen[-1]["seq"])
            later = await house.run(ada, 3)
            seen += await _course(socket, 703)
        seqs = [frame["seq"] for frame in seen]
        assert seqs == sorted(set(seqs))
        assert all(_statuses(seen, task_id) == WHOLE for task_id in (*first, *missed[:5], *missed[-5:], *later))
        assert len(seen) == 3 * 706

    at_home(settings, scenario)


def test_nothing_falls_between_what_was_and_what_comes(settings: Settings) -> None:
    """Sockets come and go while tasks run: each sees everything from where it began."""

    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        done = asyncio.Event()

        async def work() -> None:
            for _ in range(40):
                await house.run(ada, 10)
            done.set()

        async def watch() -> list[int]:
            seen: list[int] = []
            last = 0
            while not done.is_set():
                async with house.socket(ada) as socket:
                    await socket.ask(type="subscribe", channels=["task_status"], last_seq=last)
                    for _ in range(37):
                        try:
                            frame = await socket.next(within_s=1.5)
                        except TimeoutError:
                            break
                        if frame["seq"] is not None:
                            seen.append(frame["seq"])
                            last = frame["seq"]
            async with house.socket(ada) as socket:
                await socket.ask(type="subscribe", channels=["task_status"], last_seq=last)
                while len(seen) < 1200:
                    seen.append((await socket.next())["seq"])
            return seen

        _, *seen = await asyncio.gather(work(), *(watch() for _ in range(4)))
        rows = await house.database.fetch(
            "SELECT seq FROM events WHERE user_id = $1 AND type LIKE 'task.%' ORDER BY seq", ada.user_id
        )
        assert seen == [[row["seq"] for row in rows]] * 4

    at_home(settings, scenario)


def test_a_place_that_nobody_was_told_of_is_refused(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        async with house.socket(ada) as socket:
            error = await socket.ask(type="subscribe", channels=["task_status"], last_seq=1 << 40, request_id="s1")
            assert (error["type"], error["code"], error["request_id"]) == ("error", "VALIDATION_ERROR", "s1")
            answer = await socket.ask(type="subscribe", channels=["task_status"], last_seq=0)
            assert answer == {"type": "subscribed", "channels": ["task_status"]}

    at_home(settings, scenario)


def test_a_channel_is_subscribed_once_and_can_be_left(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        async with house.socket(ada) as socket:
            both = await socket.ask(type="subscribe", channels=["notifications", "task_status", "task_status"])
            assert both == {"type": "subscribed", "channels": ["notifications", "task_status"]}
            again = await socket.ask(type="subscribe", channels=["task_status"], last_seq=0)
            assert (again["type"], again["code"]) == ("error", "CONFLICT")
            left = await socket.ask(type="unsubscribe", channels=["task_status", "agent_updates"], request_id="u")
            assert left == {"type": "unsubscribed", "channels": ["notifications"], "request_id": "u"}
            await house.run(ada)
            await asyncio.sleep(0)
            assert (await socket.ask(type="subscribe", channels=["task_status"], last_seq=0))["type"] == "subscribed"
            assert [frame["status"] for frame in await _course(socket, 1)] == WHOLE

    at_home(settings, scenario)


def test_progress_is_told_without_a_number_until_the_task_ends(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        async with house.socket(ada) as socket:
            await socket.ask(type="subscribe", channels=["task_status"])
            [task_id] = await house.submit(ada)
            [claimed] = await house.claim()
            for percent in (25.0, 50.0):
                await house.queue.progress(claimed, percent, f"at {percent:g}")
                [*_, hint] = await socket.until(lambda frame, percent=percent: frame["progress"] == percent)  # type: ignore[misc]
                assert hint == {
                    "type": "task_progress",
                    "task_id": str(task_id),
                    "progress": percent,
                    "status": "running",
                    "message": f"at {percent:g}",
                    "seq": None,
                }
            await house.finish(claimed, status="failed")
            ended = await socket.next()
            assert (ended["status"], ended["progress"], ended["seq"] is None) == ("failed", 50.0, False)

    at_home(settings, scenario)


def test_what_ran_before_the_subscription_tells_its_progress_too(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        await house.submit(ada)
        [claimed] = await house.claim()
        async with house.socket(ada) as socket:
            await socket.ask(type="subscribe", channels=["task_status"])
            await house.queue.progress(claimed, 10.0, "slowly")
            [*_, hint] = await socket.until(lambda frame: frame["progress"] == 10.0)
            assert (hint["task_id"], hint["seq"]) == (str(claimed.id), None)

    at_home(settings, scenario)


def test_an_event_sent_again_to_one_consumer_is_no_news(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        async with house.socket(ada) as socket:
            await socket.ask(type="subscribe", channels=["task_status"])
            await house.run(ada)
            before = await _course(socket, 1)
            await house.database.execute(
                "INSERT INTO events (type, source, subject, user_id, agent, sequence, data, consumer)"
                " SELECT type, source, subject, user_id, agent, sequence, data, 'someone' FROM events WHERE seq = $1",
                before[-1]["seq"],
            )
            await house.run(ada)
            after = await _course(socket, 1)
            assert [frame["status"] for frame in after] == WHOLE

    at_home(settings, scenario)


def test_a_feed_that_lags_behind_another_does_not_tell_twice(settings: Settings) -> None:
    """Whoever moves to a process that has not read as far as theirs asks for numbers beyond its own."""

    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        await house.run(ada, 5)
        async with Ports(settings) as ports:
            feed = await ports.open(TaskFeed)
            while (last := await feed.last_seq(ada.user_id)) < 16:
                await asyncio.sleep(0.01)
            assert [page async for page in feed.replay(ada.user_id, after=last, upto=last - 3)] == []
            pages = [page async for page in feed.replay(ada.user_id, after=last - 3, upto=last)]
            assert [change.seq for page in pages for change in page] == [last - 2, last - 1, last]

    at_home(settings, scenario)
