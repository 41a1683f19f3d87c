"""Projects and files: what each action does, for whom, and how much."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.config import Settings
from shared.crypto import Codec
from shared.ports.users import Users
from shared.stores.postgres import memory_bank
from tests.agents.acting import Replica, Said, dump, playing, replica
from tests.agents.reversing import ReversingCodec


class Bank:
    """One user's calls at one place; names are given by position."""

    def __init__(self, here: Replica, user: UUID) -> None:
        self.here, self.user = here, user

    async def projects(self) -> Any:
        return _listed(await self.here.act(self.user, "list_projects")).result

    async def files(self, project: str) -> Said:
        return _listed(await self.here.act(self.user, "list_project_files", projectName=project))

    async def read(self, project: str, file: str) -> Said:
        return _text(await self.here.act(self.user, "memory_bank_read", projectName=project, fileName=file))

    async def write(self, project: str, file: str, content: str, execution: UUID | None = None) -> Said:
        return await self._change("write", project, file, execution, content=content)

    async def update(self, project: str, file: str, content: str, execution: UUID | None = None) -> Said:
        return await self._change("update", project, file, execution, content=content)

    async def delete(self, project: str, file: str, execution: UUID | None = None) -> Said:
        return await self._change("delete", project, file, execution)

    async def _change(self, what: str, project: str, file: str, execution: UUID | None, **more: str) -> Said:
        tool = f"memory_bank_{what}"
        names: dict[str, Any] = {"projectName": project, "fileName": file, **more}
        return _text(await self.here.act(self.user, tool, execution=execution, **names))


def _text(said: Said) -> Said:
    """With the text alone as its result."""
    return said if said.error else Said(said.result["content"][0]["text"])


def _listed(said: Said) -> Said:
    """With the list that the text holds as its result."""
    return said if said.error else Said(json.loads(_text(said).result))


def with_bank(
    settings: Settings, scenario: Callable[[Bank], Awaitable[None]], overrides: dict[type, object] | None = None
) -> None:
    async def play(here: Replica) -> None:
        await scenario(Bank(here, await here.user("ada")))

    playing(settings, "memory-bank", play, overrides)


def refused(message: str) -> Said:
    return Said(error="TOOL_ERROR", message=message)


def test_a_file_is_written_read_updated_and_deleted(settings: Settings) -> None:
    async def scenario(bank: Bank) -> None:
        assert await bank.projects() == []
        assert await bank.write("app", "b.md", "one") == Said("File b.md written successfully to project app")
        assert await bank.write("app", "a.md", "zwei ☃\n") == Said("File a.md written successfully to project app")
        assert await bank.write("Zoo", "a.md", "other") == Said("File a.md written successfully to project Zoo")
        assert await bank.projects() == ["Zoo", "app"]
        assert await bank.files("app") == Said(["a.md", "b.md"])
        assert await bank.read("app", "a.md") == Said("zwei ☃\n")
        assert await bank.update("app", "a.md", "two") == Said("File a.md updated successfully in project app")
        assert [(await bank.read(project, "a.md")).result for project in ("app", "Zoo")] == ["two", "other"]
        assert await bank.delete("app", "a.md") == Said("File a.md deleted from project app")
        assert await bank.files("app") == Said(["b.md"])
        await bank.delete("app", "b.md")
        assert await bank.projects() == ["Zoo"]

    with_bank(settings, scenario)


def test_what_is_not_there_is_said_with_what_to_do_instead(settings: Settings) -> None:
    async def scenario(bank: Bank) -> None:
        no_project = "no project 'app'; list_projects says which there are, memory_bank_write begins one"
        no_file = "no file 'x.md' in project 'app'; list_project_files says which there are"
        assert await bank.files("app") == refused(no_project)
        assert await bank.read("app", "x.md") == refused(no_file)
        assert await bank.delete("app", "x.md") == refused(no_file)
        assert await bank.update("app", "x.md", "c") == refused(
            "no file 'x.md' in project 'app'; memory_bank_write creates it"
        )
        assert await bank.projects() == []

    with_bank(settings, scenario)


def test_a_file_that_exists_is_not_written_again(settings: Settings) -> None:
    async def scenario(bank: Bank) -> None:
        await bank.write("app", "x.md", "first")
        assert await bank.write("app", "x.md", "second") == refused(
            "file 'x.md' exists in project 'app'; memory_bank_update replaces its text"
        )
        assert await bank.read("app", "x.md") == Said("first")

    with_bank(settings, scenario)


def test_beside_the_text_stands_what_it_is_about(settings: Settings) -> None:
    async def scenario(bank: Bank) -> None:
        await bank.write("app", "\uff41.md", "one")
        acts: list[tuple[str, dict[str, Any]]] = [
            ("list_projects", {}),
            ("list_project_files", {"projectName": "app"}),
            ("memory_bank_read", {"projectName": "app", "fileName": "a.md"}),
        ]
        said = [(await bank.here.act(bank.user, tool, **names)).result["content"] for tool, names in acts]
        assert said == [
            [{"type": "text", "text": '["app"]', "_meta": {"names": ["app"]}}],
            [{"type": "text", "text": '["a.md"]', "_meta": {"projectName": "app", "names": ["a.md"]}}],
            [{"type": "text", "text": "one", "_meta": {"projectName": "app", "fileName": "a.md"}}],
        ]

    with_bank(settings, scenario)


def test_every_spelling_of_a_name_reaches_the_same_file(settings: Settings) -> None:
    async def scenario(bank: Bank) -> None:
        written = await bank.write("U\u0308ber", "\uff41.md", "x")
        assert written == Said("File a.md written successfully to project \u00dcber")
        assert await bank.read("\u00dcber", "a.md") == Said("x")
        assert await bank.projects() == ["\u00dcber"]

    with_bank(settings, scenario)


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "..", ".git", "a\nb", "", "\uff0e\uff0e\uff0fx", "a" * 300])
def test_no_action_takes_a_hostile_name_and_none_leaves_anything(settings: Settings, name: str) -> None:
    async def scenario(bank: Bank) -> None:
        said = [await bank.files(name)]
        for project, file in ((name, "x.md"), ("app", name)):
            said += [await bank.read(project, file), await bank.delete(project, file)]
            said += [await bank.write(project, file, "c"), await bank.update(project, file, "c")]
        assert {answer.error for answer in said} == {"TOOL_ERROR"}
        assert {answer.message.split()[0] for answer in said} == {"projectName", "fileName"}
        assert await bank.projects() == []

    with_bank(settings, scenario)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"projectName": "a"},
        {"projectName": "a", "fileName": "b"},
        {"projectName": "a", "fileName": "b", "content": ""},
        {"projectName": "a", "fileName": "b", "content": 1},
        {"projectName": None, "fileName": "b", "content": "c"},
        {"projectName": "a", "fileName": "b", "content": "c", "more": 1},
        {"projectName": "a", "fileName": "b", "content": "c" * (256 * 1024 + 1)},
    ],
)
def test_what_is_not_as_declared_is_refused(settings: Settings, parameters: dict[str, Any]) -> None:
    async def scenario(bank: Bank) -> None:
        answer = await bank.here.act(bank.user, "memory_bank_write", **parameters)
        assert answer.error == "VALIDATION_ERROR"
        assert await bank.projects() == []

    with_bank(settings, scenario)


def test_users_see_and_change_nothing_of_one_another(settings: Settings) -> None:
    async def scenario(ada: Bank) -> None:
        bob = Bank(ada.here, await ada.here.user("bob"))
        await ada.write("app", "x.md", "hers")
        assert await bob.projects() == []
        answers = (bob.files("app"), bob.read("app", "x.md"), bob.update("app", "x.md", "c"), bob.delete("app", "x.md"))
        assert [(await answer).error for answer in answers] == ["TOOL_ERROR"] * 4
        assert (await bob.write("app", "x.md", "his")).error == ""
        assert await ada.read("app", "x.md") == Said("hers")
        assert await bob.read("app", "x.md") == Said("his")

    with_bank(settings, scenario)


def test_an_act_that_is_done_again_by_the_same_execution_changes_nothing(settings: Settings) -> None:
    async def scenario(bank: Bank) -> None:
        create, update, delete = uuid4(), uuid4(), uuid4()
        first = await bank.write("app", "x.md", "one", create)
        assert await bank.write("app", "x.md", "one", create) == first
        assert (await bank.update("app", "x.md", "two", update)).error == ""
        await bank.update("app", "x.md", "three")
        # It had been done before the third text came: repeated late, it may not put the second back.
        assert await bank.update("app", "x.md", "two", update) == Said("File x.md updated successfully in project app")
        assert await bank.write("app", "x.md", "one", create) == first
        assert await bank.read("app", "x.md") == Said("three")
        deleted = await bank.delete("app", "x.md", delete)
        await bank.write("app", "x.md", "four")
        assert await bank.delete("app", "x.md", delete) == deleted
        assert await bank.read("app", "x.md") == Said("four")

    with_bank(settings, scenario)


def test_executions_are_remembered_for_as_long_as_a_task_may_run_again(settings: Settings) -> None:
    async def scenario(bank: Bank) -> None:
        database, old, recent = await bank.here.database(), uuid4(), uuid4()
        await bank.write("app", "a.md", "1", old)
        await bank.write("app", "b.md", "2", recent)
        aged = "UPDATE bank_acts SET at = now() - make_interval(days => $2) WHERE execution_id = $1"
        await database.execute(aged, old, 32)
        await database.execute(aged, recent, 30)
        await bank.update("app", "a.md", "3")
        rows = await database.fetch("SELECT execution_id FROM bank_acts")
        assert recent in {row["execution_id"] for row in rows} and old not in {row["execution_id"] for row in rows}

    with_bank(settings, scenario)


def test_of_many_who_write_one_file_at_once_one_does(settings: Settings) -> None:
    async def scenario(bank: Bank) -> None:
        async with replica(settings, "memory-bank") as there:
            banks = (bank, Bank(there, bank.user))
            answers = await asyncio.gather(*(banks[n % 2].write("app", "x.md", f"text {n}") for n in range(30)))
            (winner,) = (n for n, answer in enumerate(answers) if not answer.error)
            assert {answer.error for answer in answers} == {"", "TOOL_ERROR"}
            assert await bank.read("app", "x.md") == Said(f"text {winner}")
            assert await _account(bank) == (1, len(f"text {winner}"))

    with_bank(settings, scenario)


def test_what_many_change_at_once_is_all_there_and_counted(settings: Settings) -> None:
    async def scenario(bank: Bank) -> None:
        async with replica(settings, "memory-bank") as there:
            banks = (bank, Bank(there, bank.user))
            writes = (banks[n % 2].write(f"p{n % 3}", f"{n}.md", "x" * n) for n in range(1, 31))
            assert {answer.error for answer in await asyncio.gather(*writes)} == {""}
            changes = [banks[n % 2].update(f"p{n % 3}", f"{n}.md", "yy") for n in range(1, 21)]
            changes += [banks[n % 2].delete(f"p{n % 3}", f"{n}.md") for n in range(21, 31)]
            assert {answer.error for answer in await asyncio.gather(*changes)} == {""}
            names = [name for project in range(3) for name in (await bank.files(f"p{project}")).result]
            assert sorted(names) == sorted(f"{n}.md" for n in range(1, 21))
            assert await _account(bank) == (20, 40)

    with_bank(settings, scenario)


def test_one_execution_at_two_places_at_once_writes_once(settings: Settings) -> None:
    async def scenario(bank: Bank) -> None:
        async with replica(settings, "memory-bank") as there:
            execution = uuid4()
            twice = [Bank(here, bank.user).write("app", "x.md", "c", execution) for here in (bank.here, there)]
            assert set(await asyncio.gather(*twice)) == {Said("File x.md written successfully to project app")}
            assert await _account(bank) == (1, 1)

    with_bank(settings, scenario)


def test_a_bank_has_room_for_so_many_files_and_bytes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_bank, "MOST_FILES", 2)
    monkeypatch.setattr(memory_bank, "MOST_BYTES", 10)

    async def scenario(bank: Bank) -> None:
        await bank.write("a", "1.md", "ü" * 4)
        full = refused(
            "a memory bank holds at most 10 bytes, and 2 are free;"
            " shorten a file with memory_bank_update or delete one with memory_bank_delete first"
        )
        assert await bank.write("a", "2.md", "xxx") == full
        assert await bank.update("a", "1.md", "ü" * 6) == full
        assert await bank.projects() == ["a"]
        await bank.write("b", "2.md", "xx")
        assert await bank.write("b", "3.md", "x") == refused(
            "a memory bank holds at most 2 files; delete one with memory_bank_delete first"
        )
        assert (await bank.update("a", "1.md", "x")).error == ""
        await bank.delete("a", "1.md")
        assert (await bank.write("b", "3.md", "x" * 8)).error == ""
        assert await _account(bank) == (2, 10)
        # Who has too much, once there is room for less, may make it less.
        monkeypatch.setattr(memory_bank, "MOST_FILES", 1)
        monkeypatch.setattr(memory_bank, "MOST_BYTES", 5)
        assert [(await bank.update("b", "3.md", text)).error for text in ("x" * 7, "x" * 8)] == ["", "TOOL_ERROR"]

    with_bank(settings, scenario)


def test_the_last_place_goes_to_one_of_those_who_want_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_bank, "MOST_FILES", 5)

    async def scenario(bank: Bank) -> None:
        async with replica(settings, "memory-bank") as there:
            banks = (bank, Bank(there, bank.user))
            answers = await asyncio.gather(*(banks[n % 2].write("a", f"{n}.md", "x") for n in range(20)))
            assert sorted(answer.error for answer in answers) == [""] * 5 + ["TOOL_ERROR"] * 15
            assert len((await bank.files("a")).result) == 5

    with_bank(settings, scenario)


def test_neither_names_nor_texts_lie_open_in_the_record(settings: Settings) -> None:
    async def scenario(bank: Bank) -> None:
        await bank.write("plumbago", "sesame.md", "a word of marzipan")
        await bank.update("plumbago", "sesame.md", "another word of marzipan")
        assert await bank.read("plumbago", "sesame.md") == Said("another word of marzipan")
        assert await bank.files("plumbago") == Said(["sesame.md"])
        found = await dump(await bank.here.database(), "bank_")
        assert [word for word in ("plumbago", "sesame", "marzipan") if word in found] == []
        assert "napizram" in found

    with_bank(settings, scenario, {Codec: ReversingCodec()})


def test_the_same_name_of_two_users_looks_different_in_the_record(settings: Settings) -> None:
    async def scenario(ada: Bank) -> None:
        bob = Bank(ada.here, await ada.here.user("bob"))
        for bank in (ada, bob):
            await bank.write("same", "same", "same")
        rows = await (await ada.here.database()).fetch("SELECT project_index, name_index FROM bank_files")
        assert len({index for row in rows for index in row.values()}) == 4

    with_bank(settings, scenario)


def test_a_bank_goes_with_its_user_and_takes_nothing_from_one_who_is_gone(settings: Settings) -> None:
    async def scenario(ada: Bank) -> None:
        bob = Bank(ada.here, await ada.here.user("bob"))
        await ada.write("app", "x.md", "hers")
        await bob.write("app", "x.md", "his")
        assert await (await ada.here.ports.open(Users)).erase(ada.user)
        assert str(ada.user) not in await dump(await ada.here.database(), "bank_")
        assert await ada.projects() == []
        assert await ada.write("app", "x.md", "late") == Said(error="NOT_FOUND", message=f"no user {str(ada.user)!r}")
        assert await bob.read("app", "x.md") == Said("his")

    with_bank(settings, scenario)


def test_writes_that_meet_the_end_of_their_user_are_done_before_or_not_at_all(settings: Settings) -> None:
    async def scenario(bank: Bank) -> None:
        async with replica(settings, "memory-bank") as there:
            users = await bank.here.ports.open(Users)
            writes = [Bank(there, bank.user).write("app", f"{n}.md", "x") for n in range(20)]
            *answers, erased = await asyncio.gather(*writes, users.erase(bank.user))
            assert erased is True
            assert {answer.error for answer in answers if isinstance(answer, Said)} <= {"", "NOT_FOUND"}
            assert str(bank.user) not in await dump(await bank.here.database(), "bank_")

    with_bank(settings, scenario)


async def _account(bank: Bank) -> tuple[int, int]:
    row = await (await bank.here.database()).fetchrow("SELECT files, size_bytes FROM bank_accounts")
    assert row is not None
    return row["files"], row["size_bytes"]
