"""Many who write at once, from two processes, and those who run again."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from shared.config import Settings
from shared.stores.postgres import memory_act
from tests.agents.called import Called, Refused, Replica, at, at_two

ADA = {"name": "Ada", "entityType": "person", "observations": ["a"]}


def _added(memory: Called, *contents: str, **more: Any) -> Any:
    return memory("add_observations", observations=[{"entityName": "Ada", "contents": list(contents)}], **more)


def test_no_write_of_many_at_once_is_lost_and_each_new_thing_is_answered_once(settings: Settings) -> None:
    async def play(one: Replica, other: Replica) -> None:
        mine = await one.newcomer()
        both = (mine, other.of(mine.user_id))
        created = await asyncio.gather(*(both[n % 2]("create_entities", entities=[ADA]) for n in range(20)))
        assert sorted(len(answer["entities"]) for answer in created) == [0] * 19 + [1]
        # Every text is added twice, once from each process.
        added = await asyncio.gather(*(_added(both[n % 2], f"o{n // 2}", f"p{n // 2}") for n in range(200)))
        answered = sorted(text for answer in added for text in answer["results"][0]["addedObservations"])
        assert answered == sorted(f"{kind}{n}" for n in range(100) for kind in "op")
        (entity,) = (await mine("read_graph"))["entities"]
        assert sorted(entity["observations"]) == sorted(["a", *answered])

    at_two(settings, "memory", play)


def test_writers_of_all_kinds_leave_a_graph_that_holds_together(settings: Settings) -> None:
    async def play(one: Replica, other: Replica) -> None:
        mine = await one.newcomer()
        both = (mine, other.of(mine.user_id))

        async def turn(number: int) -> None:
            memory, name = both[number % 2], f"n{number % 5}"
            await memory("create_entities", entities=[{**ADA, "name": name}])
            relation = {"from": name, "to": f"n{number % 3}", "relationType": "knows"}
            await memory("create_relations", relations=[relation])
            await memory("delete_observations", deletions=[{"entityName": name, "observations": ["a"]}])
            if number % 4 == 0:
                await memory("delete_entities", entityNames=[name, f"n{(number + 1) % 5}"])
            if number % 7 == 0:
                await memory("delete_relations", relations=[relation])

        await asyncio.gather(*map(turn, range(60)))
        (counted,) = await mine.database.fetch(
            "SELECT entities, observations, relations, size_bytes FROM memory_graphs WHERE user_id = $1", mine.user_id
        )
        summed = "SELECT count(*) AS n, coalesce(sum(size_bytes), 0) AS s FROM memory_"
        tables = ("entities", "observations", "relations")
        sums = [row for table in tables for row in await mine.database.fetch(summed + table)]
        assert tuple(counted) == (*(row["n"] for row in sums), sum(row["s"] for row in sums))

    at_two(settings, "memory", play)


def test_an_execution_that_runs_again_answers_as_before_and_changes_nothing(settings: Settings) -> None:
    async def play(one: Replica, other: Replica) -> None:
        mine = await one.newcomer()
        again = other.of(mine.user_id)
        created, added, deleted = uuid4(), uuid4(), uuid4()
        first = await mine("create_entities", execution_id=created, entities=[ADA])
        assert await again("create_entities", execution_id=created, entities=[ADA]) == first == {"entities": [ADA]}
        first = await _added(mine, "a", "b", execution_id=added)
        await mine("delete_entities", execution_id=deleted, entityNames=["Ada"])
        # Somebody else has written meanwhile; a zombie must neither undo that nor bring back what is gone.
        await mine("create_entities", entities=[ADA])
        await again("delete_entities", execution_id=deleted, entityNames=["Ada"])
        assert await _added(again, "a", "b", execution_id=added) == first
        assert first == {"results": [{"entityName": "Ada", "addedObservations": ["b"]}]}
        assert await mine("read_graph") == {"entities": [ADA], "relations": []}

    at_two(settings, "memory", play)


def test_attempts_of_one_execution_at_the_same_time_answer_the_same(settings: Settings) -> None:
    async def play(one: Replica, other: Replica) -> None:
        mine = await one.newcomer()
        both = (mine, other.of(mine.user_id))
        await mine("create_entities", entities=[ADA])
        execution_id = uuid4()
        answers = await asyncio.gather(*(_added(both[n % 2], "b", execution_id=execution_id) for n in range(10)))
        assert answers == [{"results": [{"entityName": "Ada", "addedObservations": ["b"]}]}] * 10

    at_two(settings, "memory", play)


def test_a_refused_execution_may_run_again(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory, execution_id = await here.newcomer(), uuid4()
        with pytest.raises(Refused, match="no entity 'Ada'"):
            await _added(memory, "b", execution_id=execution_id)
        await memory("create_entities", entities=[ADA])
        assert (await _added(memory, "b", execution_id=execution_id))["results"][0]["addedObservations"] == ["b"]

    at(settings, "memory", play)


def test_whoever_reads_sees_the_graph_of_one_moment(settings: Settings) -> None:
    async def play(one: Replica, other: Replica) -> None:
        mine = await one.newcomer()
        reader = other.of(mine.user_id)
        relation = {"from": "Ada", "to": "Ada", "relationType": "is"}
        done = asyncio.Event()

        async def write() -> None:
            for _ in range(30):
                await mine("create_entities", entities=[ADA])
                await mine("create_relations", relations=[relation])
                await mine("delete_entities", entityNames=["Ada"])
            done.set()

        async def read() -> None:
            while not done.is_set():
                for graph in (await reader("read_graph"), await reader("search_nodes", query="ada")):
                    # The relation never outlives its entity, and the entity never comes without its observation.
                    assert graph["entities"] in ([], [ADA])
                    assert graph["entities"] or not graph["relations"]

        await asyncio.gather(write(), read())

    at_two(settings, "memory", play)


def test_a_user_who_is_being_erased_leaves_nothing_behind(settings: Settings) -> None:
    async def play(one: Replica, other: Replica) -> None:
        for _ in range(5):
            mine = await one.newcomer()
            writers = [other.of(mine.user_id)("create_entities", entities=[{**ADA, "name": f"n{n}"}]) for n in range(8)]
            *answers, erased = await asyncio.gather(*writers, one.users.erase(mine.user_id), return_exceptions=True)
            assert erased is True
            refused = [str(answer) for answer in answers if isinstance(answer, BaseException)]
            assert all(text.startswith("NOT_FOUND") for text in refused), refused
        for table in ("graphs", "entities", "observations", "acts"):
            assert await one.database.fetchval(f"SELECT count(*) FROM memory_{table}") == 0

    at_two(settings, "memory", play)


def test_behind_a_writer_that_hangs_others_give_up_and_may_try_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_act, "LOCK_S", 0.1)

    async def play(one: Replica, other: Replica) -> None:
        mine = await one.newcomer()
        await mine("create_entities", entities=[ADA])
        async with other.database.transaction() as hanging:
            await hanging.execute("SELECT 1 FROM memory_graphs FOR UPDATE")
            with pytest.raises(Refused, match="SERVICE_UNAVAILABLE"):
                await _added(mine, "b")
            assert (await mine("read_graph"))["entities"] == [ADA]
        assert (await _added(mine, "b"))["results"][0]["addedObservations"] == ["b"]

    at_two(settings, "memory", play)
