"""Contexts: what each action does, for whom, and how much."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.config import Settings
from shared.crypto import Codec
from shared.ports.users import Users
from shared.stores.postgres import extended_memory
from tests.agents.acting import Replica, Said, dump, playing, replica
from tests.agents.reversing import ReversingCodec

_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC")


class Memory:
    """One user's calls at one place."""

    def __init__(self, here: Replica, user: UUID) -> None:
        self.here, self.user = here, user

    async def said(self, tool: str, **parameters: Any) -> Said:
        return await self.here.act(self.user, tool, **parameters)

    async def text(self, tool: str, **parameters: Any) -> str:
        """The answer, with times that are all alike."""
        answer = await self.said(tool, **parameters)
        assert not answer.error, answer
        (block,) = answer.result["content"]
        return _TIME.sub("TIME", block["text"])

    async def save(self, content: str, **parameters: Any) -> int:
        return int((await self._meta("save_context", content=content, **parameters))["contextIds"][0])

    async def load(self, **parameters: Any) -> list[int]:
        ids: list[int] = (await self._meta("load_contexts", **parameters))["contextIds"]
        return ids

    async def _meta(self, tool: str, **parameters: Any) -> dict[str, Any]:
        answer = await self.said(tool, **parameters)
        assert not answer.error, answer
        meta: dict[str, Any] = answer.result["content"][0]["_meta"]
        return meta


def with_memory(
    settings: Settings, scenario: Callable[[Memory], Awaitable[None]], overrides: dict[type, object] | None = None
) -> None:
    async def play(here: Replica) -> None:
        await scenario(Memory(here, await here.user("ada")))

    playing(settings, "extended-memory", play, overrides)


def test_a_context_is_saved_loaded_and_forgotten(settings: Settings) -> None:
    async def scenario(memory: Memory) -> None:
        saved = await memory.text(
            "save_context", content="Chose Rust.\nNext: CI", importance_level=8, tags=["B", "a "], project_id="My_App"
        )
        assert saved == (
            "The context is kept.\n- Context ID: 1\n- Project: my app\n- Importance: 8/10\n- Tags: a, b\n"
            "- Saved at: TIME"
        )
        assert await memory.text("load_contexts", project_id="my-app") == (
            "1 of 1 contexts of project 'my app' with an importance of 7 or more.\nMost used tags: a (1), b (1)\n\n"
            "(ID: 1, Importance: 8/10, TIME)\nTags: a, b\nChose Rust.\nNext: CI"
        )
        assert await memory.text("forget_context", context_id=1) == "The context is forgotten.\n- Context ID: 1"
        gone = "Context not found: there is none, or it was forgotten before.\n- Context ID: 1"
        assert await memory.text("forget_context", context_id=1) == gone
        assert await memory.load(project_id="my app") == []

    with_memory(settings, scenario)


def test_where_nothing_is_said_it_is_the_general_project_and_an_importance_of_five(settings: Settings) -> None:
    async def scenario(memory: Memory) -> None:
        saved = await memory.text("save_context", content="x")
        assert "- Project: general\n- Importance: 5/10\n- Tags: none\n" in saved
        assert await memory.text("load_contexts") == (
            "No contexts of project 'general' with an importance of 7 or more.\n"
            "1 of less importance: ask with a lower importance_level."
        )
        assert await memory.load(importance_level=5) == [1]

    with_memory(settings, scenario)


def test_the_most_important_come_first_and_of_these_the_newest(settings: Settings) -> None:
    async def scenario(memory: Memory) -> None:
        for importance in (7, 9, 3, 9, 10, 7):
            await memory.save("x", importance_level=importance)
        assert await memory.load() == [5, 4, 2, 6, 1]
        assert await memory.load(importance_level=1) == [5, 4, 2, 6, 1, 3]
        assert await memory.load(importance_level=10) == [5]
        assert await memory.load(limit=2) == [5, 4]
        assert await memory.load(limit=2, offset=2) == [2, 6]
        assert await memory.load(limit=2, offset=9) == []

    with_memory(settings, scenario)


def test_a_page_says_how_many_there_are_and_where_the_next_begins(settings: Settings) -> None:
    async def scenario(memory: Memory) -> None:
        for _ in range(3):
            await memory.save("x", importance_level=8)
        first = await memory.said("load_contexts", limit=2)
        facts = {"projectId": "general", "contextIds": [3, 2], "total": 3, "nextOffset": 2}
        assert first.result["content"][0]["_meta"] == facts
        assert first.result["content"][0]["text"].startswith("2 of 3 contexts of project 'general'")
        assert first.result["content"][0]["text"].endswith("\n\nThere are more: go on with offset 2.")
        last = await memory.said("load_contexts", limit=2, offset=2)
        assert last.result["content"][0]["_meta"] == {"projectId": "general", "contextIds": [1], "total": 3}

    with_memory(settings, scenario)


def test_a_page_holds_so_much_text_and_at_least_one_context(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.agents.extended_memory.load_contexts.MIB", 120)

    async def scenario(memory: Memory) -> None:
        for size in (100, 60, 40, 200, 1):
            await memory.save("x" * size, importance_level=8)
        seen, offset = [], 0
        while page := (await memory.said("load_contexts", offset=offset)).result["content"][0]["_meta"]["contextIds"]:
            seen.append(page)
            offset += len(page)
        assert seen == [[5], [4], [3, 2], [1]]

    with_memory(settings, scenario)


def test_what_is_as_large_as_can_be_is_answered_page_by_page(settings: Settings) -> None:
    async def scenario(memory: Memory) -> None:
        for _ in range(6):
            # In UTF-8 the largest, in JSON larger still.
            await memory.save("\U0001f600" * 50_000 + '"' * 50_000, importance_level=8)
        page = (await memory.said("load_contexts", limit=1000)).result["content"][0]["_meta"]
        assert page["contextIds"] == [6, 5, 4, 3] and page["nextOffset"] == 4

    with_memory(settings, scenario)


def test_any_of_the_tags_finds_a_context_however_it_is_spelled(settings: Settings) -> None:
    async def scenario(memory: Memory) -> None:
        for tags in (["a"], ["b", "C"], ["a", "c"], []):
            await memory.save("x", importance_level=8, tags=tags)
        assert await memory.load(tags_filter=["A "]) == [3, 1]
        assert await memory.load(tags_filter=["a", "B"]) == [3, 2, 1]
        assert await memory.load(tags_filter=["c", "nothing"]) == [3, 2]
        assert await memory.load(tags_filter=["nothing"]) == []
        assert await memory.load(tags_filter=[" "]) == [4, 3, 2, 1]
        assert await memory.load(tags_filter=["a"], project_id="other") == []

    with_memory(settings, scenario)


def test_projects_are_listed_with_their_counts_the_last_used_first(settings: Settings) -> None:
    async def scenario(memory: Memory) -> None:
        assert await memory.text("list_all_projects") == "No projects: nothing has been saved yet."
        for project in ("One", "two", "one", None):
            await memory.save("x", project_id=project)
        assert await memory.text("list_all_projects") == (
            "3 projects:\n- general (1 context, last TIME)\n- one (2 contexts, last TIME)\n- two (1 context, last TIME)"
        )
        await memory.text("forget_context", context_id=2)
        assert "two" not in await memory.text("list_all_projects")

    with_memory(settings, scenario)


def test_tags_are_counted_by_project_the_most_used_first_then_the_last_used(settings: Settings) -> None:
    async def scenario(memory: Memory) -> None:
        assert await memory.text("get_popular_tags", min_usage=2) == (
            "No tags in project 'general' that 2 or more of its contexts have."
        )
        for tags in (["old", "often"], ["often", "z", "b"], ["often", "often"]):
            await memory.save("x", tags=tags)
        await memory.save("x", tags=["elsewhere"], project_id="p")
        said = "Tags of project 'general':\n- often (3)\n- b (1)\n- z (1)\n- old (1)"
        assert await memory.text("get_popular_tags") == said
        assert await memory.text("get_popular_tags", limit=2) == "Tags of project 'general':\n- often (3)\n- b (1)"
        assert await memory.text("get_popular_tags", min_usage=2) == "Tags of project 'general':\n- often (3)"
        assert await memory.text("get_popular_tags", project_id="P") == "Tags of project 'p':\n- elsewhere (1)"
        assert "Most used tags: often (3), b (1)" in await memory.text("load_contexts")
        assert "tags" not in await memory.text("load_contexts", init_load=False)

    with_memory(settings, scenario)


@pytest.mark.parametrize(
    "tool, parameters",
    [
        ("save_context", {}),
        ("save_context", {"content": ""}),
        ("save_context", {"content": "x" * 100_001}),
        ("save_context", {"content": "x", "importance_level": 0}),
        ("save_context", {"content": "x", "importance_level": 11}),
        ("save_context", {"content": "x", "importance_level": "5"}),
        ("save_context", {"content": "x", "tags": "a"}),
        ("save_context", {"content": "x", "tags": ["a"] * 51}),
        ("save_context", {"content": "x", "user_id": str(UUID(int=1))}),
        ("load_contexts", {"importance_level": 0}),
        ("load_contexts", {"limit": 0}),
        ("load_contexts", {"limit": -1}),
        ("load_contexts", {"tags_filter": ["a"] * 11}),
        ("forget_context", {}),
        ("forget_context", {"context_id": "1"}),
        ("forget_context", {"context_id": 1 << 63}),
        ("get_popular_tags", {"min_usage": 0}),
        ("list_all_projects", {"project_id": "x"}),
    ],
)
def test_what_is_not_as_declared_is_refused(settings: Settings, tool: str, parameters: dict[str, Any]) -> None:
    async def scenario(memory: Memory) -> None:
        assert (await memory.said(tool, **parameters)).error == "VALIDATION_ERROR"

    with_memory(settings, scenario)


def test_a_blank_text_and_names_in_disguise_are_refused_with_the_reason(settings: Settings) -> None:
    async def scenario(memory: Memory) -> None:
        blank = Said(error="TOOL_ERROR", message="content is blank; there is nothing to keep")
        assert await memory.said("save_context", content=" \n") == blank
        evil = "holds control or invisible characters"
        for named in ({"project_id": "a\u202eb"}, {"tags": ["a\x1bb"]}, {"tags": ["a\u200bb"]}):
            answer = await memory.said("save_context", content="x", **named)
            assert answer.error == "TOOL_ERROR" and answer.message.endswith(evil)
        assert await memory.text("list_all_projects") == "No projects: nothing has been saved yet."

    with_memory(settings, scenario)


def test_ids_count_for_each_user_and_never_come_twice(settings: Settings) -> None:
    async def scenario(ada: Memory) -> None:
        bob = Memory(ada.here, await ada.here.user("bob"))
        assert [await ada.save("x"), await ada.save("x"), await bob.save("x")] == [1, 2, 1]
        await ada.text("forget_context", context_id=2)
        assert await ada.save("x") == 3

    with_memory(settings, scenario)


def test_users_see_and_change_nothing_of_one_another(settings: Settings) -> None:
    async def scenario(ada: Memory) -> None:
        bob = Memory(ada.here, await ada.here.user("bob"))
        await ada.save("hers", importance_level=9, tags=["t"], project_id="p")
        assert await bob.load(project_id="p") == []
        assert await bob.load(project_id="p", tags_filter=["t"]) == []
        assert (await bob.text("forget_context", context_id=1)).startswith("Context not found")
        assert await bob.text("list_all_projects") == "No projects: nothing has been saved yet."
        assert (await bob.text("get_popular_tags", project_id="p")).startswith("No tags")
        assert await ada.load(project_id="p") == [1]

    with_memory(settings, scenario)


def test_an_act_that_is_done_again_by_the_same_execution_changes_nothing(settings: Settings) -> None:
    async def scenario(memory: Memory) -> None:
        save, forget = uuid4(), uuid4()
        assert await memory.save("x", importance_level=8, execution=save) == 1
        assert await memory.save("x", importance_level=8, execution=save) == 1
        assert await memory.load() == [1]
        forgotten = await memory.text("forget_context", context_id=1, execution=forget)
        assert await memory.text("forget_context", context_id=1, execution=forget) == forgotten
        # What has been forgotten meanwhile does not come back.
        assert await memory.save("x", importance_level=8, execution=save) == 1
        assert await memory.load() == []
        assert await memory.save("y") == 2

    with_memory(settings, scenario)


def test_executions_are_remembered_for_as_long_as_a_task_may_run_again(settings: Settings) -> None:
    async def scenario(memory: Memory) -> None:
        database, old, recent = await memory.here.database(), uuid4(), uuid4()
        await memory.save("1", execution=old)
        await memory.save("2", execution=recent)
        aged = "UPDATE context_acts SET at = now() - make_interval(days => $2) WHERE execution_id = $1"
        await database.execute(aged, old, 32)
        await database.execute(aged, recent, 30)
        await memory.save("3")
        rows = await database.fetch("SELECT context_id FROM context_acts ORDER BY context_id")
        assert [row["context_id"] for row in rows] == [2, 3]

    with_memory(settings, scenario)


def test_what_many_places_save_at_once_is_all_there_under_ids_of_its_own(settings: Settings) -> None:
    async def scenario(memory: Memory) -> None:
        async with replica(settings, "extended-memory") as there:
            places = (memory, Memory(there, memory.user))
            ids = await asyncio.gather(*(places[n % 2].save(f"{n}", importance_level=8) for n in range(40)))
            assert sorted(ids) == list(range(1, 41))
            assert await memory.load(limit=100) == list(range(40, 0, -1))
            forgetting = (places[n % 2].text("forget_context", context_id=n // 2 + 1) for n in range(40))
            answers = await asyncio.gather(*forgetting)
            # Each was asked for twice, and forgotten once.
            assert sum(answer.startswith("The context is forgotten") for answer in answers) == 20
            assert await memory.load(limit=100) == list(range(40, 20, -1))
            assert await _account(memory) == (40, 20)

    with_memory(settings, scenario)


def test_one_execution_at_two_places_at_once_saves_once(settings: Settings) -> None:
    async def scenario(memory: Memory) -> None:
        async with replica(settings, "extended-memory") as there:
            execution = uuid4()
            saves = [Memory(here, memory.user).save("x", execution=execution) for here in (memory.here, there)]
            assert await asyncio.gather(*saves) == [1, 1]
            assert await _account(memory) == (1, 1)

    with_memory(settings, scenario)


def test_a_memory_has_room_for_so_many_contexts_and_bytes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extended_memory, "MOST_CONTEXTS", 2)
    monkeypatch.setattr(extended_memory, "MOST_BYTES", 40)

    async def scenario(memory: Memory) -> None:
        await memory.save("ü" * 10, project_id="p", tags=["t"])
        assert await memory.said("save_context", content="x" * 18, project_id="p") == Said(
            error="TOOL_ERROR",
            message="a memory holds at most 40 bytes, and 18 are free;"
            " save less, or forget some contexts with forget_context first",
        )
        assert await memory.save("x" * 17, project_id="p") == 2
        full = "a memory holds at most 2 contexts; forget some with forget_context first"
        assert await memory.said("save_context", content="x") == Said(error="TOOL_ERROR", message=full)
        await memory.text("forget_context", context_id=1)
        assert await memory.save("x") == 3

    with_memory(settings, scenario)


def test_the_last_place_goes_to_one_of_those_who_want_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extended_memory, "MOST_CONTEXTS", 5)

    async def scenario(memory: Memory) -> None:
        async with replica(settings, "extended-memory") as there:
            places = (memory, Memory(there, memory.user))
            answers = await asyncio.gather(*(places[n % 2].said("save_context", content="x") for n in range(20)))
            assert sorted(answer.error for answer in answers) == [""] * 5 + ["TOOL_ERROR"] * 15
            assert await _account(memory) == (5, 5)

    with_memory(settings, scenario)


def test_neither_names_nor_texts_lie_open_in_the_record(settings: Settings) -> None:
    async def scenario(memory: Memory) -> None:
        await memory.save("a word of marzipan", importance_level=8, tags=["sesame", "a"], project_id="plumbago")
        loaded = await memory.text("load_contexts", project_id="plumbago", tags_filter=["sesame"])
        assert loaded.endswith("Tags: a, sesame\na word of marzipan")
        assert "plumbago" in await memory.text("list_all_projects")
        assert "- sesame (1)" in await memory.text("get_popular_tags", project_id="plumbago")
        found = await dump(await memory.here.database(), "context")
        assert [word for word in ("plumbago", "sesame", "marzipan") if word in found] == []
        assert "napizram" in found

    with_memory(settings, scenario, {Codec: ReversingCodec()})


def test_the_same_names_of_two_users_look_different_in_the_record(settings: Settings) -> None:
    async def scenario(ada: Memory) -> None:
        bob = Memory(ada.here, await ada.here.user("bob"))
        for memory in (ada, bob):
            await memory.save("same", project_id="same", tags=["same"])
        rows = await (await ada.here.database()).fetch("SELECT project_index, tag_indexes[1] FROM contexts")
        assert len({index for row in rows for index in row.values()}) == 4

    with_memory(settings, scenario)


def test_a_memory_goes_with_its_user_and_takes_nothing_from_one_who_is_gone(settings: Settings) -> None:
    async def scenario(ada: Memory) -> None:
        bob = Memory(ada.here, await ada.here.user("bob"))
        await ada.save("hers")
        await bob.save("his", importance_level=8)
        assert await (await ada.here.ports.open(Users)).erase(ada.user)
        assert str(ada.user) not in await dump(await ada.here.database(), "context")
        gone = Said(error="NOT_FOUND", message=f"no user {str(ada.user)!r}")
        assert await ada.said("save_context", content="late") == gone
        assert await bob.load() == [1]

    with_memory(settings, scenario)


def test_what_was_saved_at_one_place_is_there_after_all_processes_have_gone(settings: Settings) -> None:
    users: list[UUID] = []

    async def save(memory: Memory) -> None:
        users.append(memory.user)
        await memory.save("kept", importance_level=8)

    async def load(here: Replica) -> str:
        return await Memory(here, users[0]).text("load_contexts")

    with_memory(settings, save)
    assert playing(settings, "extended-memory", load).endswith("\nkept")


def test_saves_that_meet_the_end_of_their_user_are_done_before_or_not_at_all(settings: Settings) -> None:
    async def scenario(memory: Memory) -> None:
        async with replica(settings, "extended-memory") as there:
            users = await memory.here.ports.open(Users)
            saves = [Memory(there, memory.user).said("save_context", content="x") for _ in range(20)]
            *answers, erased = await asyncio.gather(*saves, users.erase(memory.user))
            assert erased is True
            assert {answer.error for answer in answers if isinstance(answer, Said)} <= {"", "NOT_FOUND"}
            assert str(memory.user) not in await dump(await memory.here.database(), "context")

    with_memory(settings, scenario)


async def _account(memory: Memory) -> tuple[int, int]:
    row = await (await memory.here.database()).fetchrow("SELECT last_id, contexts FROM context_accounts")
    assert row is not None
    return row["last_id"], row["contexts"]
