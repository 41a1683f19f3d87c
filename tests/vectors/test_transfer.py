"""`vectors import` and `vectors export`: what arrives, what is told, and how either goes on after an end."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from functions.__main__ import main
from shared.errors import ConfigurationError, Unavailable
from shared.vectors.transfer.exporting import export, gathered_in
from shared.vectors.transfer.importing import Importer, Wanted, place_file
from shared.vectors.transfer.progress import Progress
from shared.vectors.transfer.remote import Refused, Remote
from tests.vectors.transfer_api import KEY, Answer, FakeApi, failure, served


class Clock:
    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def remote(api: FakeApi, *, patience_s: float = 60, clock: Clock | None = None) -> Remote:
    return Remote(api.url, lambda: KEY, patience_s=patience_s, sleep=(clock or Clock()).sleep)


def imported(api: FakeApi, file: Path, *, said: io.StringIO | None = None, **more: Any) -> tuple[int, int, int, bool]:
    asked = remote(api, **{key: more.pop(key) for key in ("patience_s", "clock") if key in more})
    wanted = Wanted(file=file, collection="papers", **more)
    try:
        told = lambda total: Progress(said or io.StringIO(), "in", total=total)  # noqa: E731
        found = Importer(asked, wanted, progress=told).run()
    finally:
        asked.close()
    return found.rows, found.bad, found.changed, found.is_whole


def exported(api: FakeApi, file: Path, **more: Any) -> int:
    asked = remote(api, **more)
    try:
        return export(asked, "papers", file, progress=Progress(io.StringIO(), "out", total=None))
    finally:
        asked.close()


def lines(file: Path, *rows: dict[str, Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def row(id: str, *values: float, **more: Any) -> dict[str, Any]:
    return {"id": id, "vector": list(values) or [1.0, 2.0], **more}


def held(api: FakeApi) -> dict[str, list[float]]:
    return {one: found["vector"] for one, (_, found) in api.rows.items() if found}


def refusing(times: int, answer: Answer, *, path: str = "/upsert") -> Callable[[str, str], Answer | None]:
    left = [answer] * times
    return lambda _, asked: left.pop() if left and path in asked else None


def test_rows_arrive_and_the_later_of_an_id_counts(tmp_path: Path) -> None:
    file = lines(tmp_path / "v.ndjson", row("a"), row("b", text="x", metadata={"k": [1, True]}), row("a", 3.0, 4.0))
    with served(FakeApi()) as api:
        assert imported(api, file) == (3, 0, 3, True)
    assert api.batches == [["a", "b"], ["a"]]
    assert held(api) == {"a": [3.0, 4.0], "b": [1.0, 2.0]}
    assert api.rows["b"] == (2, {"id": "b", "vector": [1.0, 2.0], "text": "x", "metadata": {"k": [1, True]}})
    assert not place_file(file, "papers").exists()


def test_batches_keep_within_what_a_request_may_hold(tmp_path: Path) -> None:
    many = [row(f"{number}") for number in range(1500)]
    keyed = [row(f"k{number}", metadata={f"m{key}": key for key in range(50)}) for number in range(200)]
    long = [row(f"l{number}", text="x" * 250_000) for number in range(60)]
    with served(FakeApi()) as api:
        imported(api, lines(tmp_path / "v.ndjson", *many, *keyed, *long))
    assert list(map(len, api.batches)) == [1000, 629, 108, 23]
    assert len(api.rows) == 1760


def test_bad_rows_are_told_by_line_and_all_others_imported(tmp_path: Path) -> None:
    rows = [row(f"{n}") for n in range(10)]
    rows[2], rows[5], rows[9] = row("bad 2"), row("5", 1.0, 2.0, 3.0), {"id": "9", "text": "no vector"}
    file, said = lines(tmp_path / "v.ndjson", *rows), io.StringIO()
    with served(FakeApi(seq=1)) as api:
        assert imported(api, file, said=said) == (10, 3, 7, True)
    assert sorted(held(api)) == ["0", "1", "3", "4", "6", "7", "8"]
    assert [line for line in said.getvalue().splitlines() if line.startswith(str(file))] == [
        f"{file}:6: the vector has 3 numbers, and the collection takes 2",
        f"{file}:10: there is no vector, and the collection has no model that would make one of the text",
        f"{file}:3: an id is not as they are",
    ]


@pytest.mark.parametrize("worst", [row("x", 1.0), row("bad")])
def test_strict_stops_at_the_first_bad_row_and_goes_on_from_there(worst: dict[str, Any], tmp_path: Path) -> None:
    file = lines(tmp_path / "v.ndjson", row("a"), row("a", 2.0, 2.0), worst, row("b"))
    with served(FakeApi()) as api:
        *_, is_whole = imported(api, file, most_bad=0)
        assert (is_whole, held(api)) == (False, {"a": [2.0, 2.0]})
        assert imported(api, file) == (4, 1, 1 if worst["id"] == "x" else 2, True)
        assert held(api) == {"a": [2.0, 2.0], "b": [1.0, 2.0]}


def test_what_was_acknowledged_is_not_sent_again(tmp_path: Path) -> None:
    file = lines(tmp_path / "v.ndjson", *(row(f"{number}") for number in range(2500)))
    with served(FakeApi()) as api:
        count = 0

        def third(_: str, path: str) -> Answer | None:
            nonlocal count
            count += "/upsert" in path
            return failure(503, "SERVICE_UNAVAILABLE") if count >= 3 else None

        api.before = third
        with pytest.raises(Unavailable):
            imported(api, file, patience_s=2)
        api.before = lambda *_: None
        assert imported(api, file) == (2500, 0, 500, True)
        assert list(map(len, api.batches)) == [1000, 1000, 500]


@pytest.mark.parametrize("other", ["file", "collection"])
def test_another_file_or_another_collection_is_begun_anew(other: str, tmp_path: Path) -> None:
    file = lines(tmp_path / "v.ndjson", *(row(f"{number}") for number in range(1001)))
    with served(FakeApi()) as api:
        api.before = lambda _, path: failure(403, "FORBIDDEN") if "/upsert" in path and api.batches else None
        with pytest.raises(Refused):
            imported(api, file)
        api.before = lambda *_: None
        if other == "file":
            lines(file, row("new"))
        else:
            api.rows, api.seq = {}, 0
        imported(api, file)
    assert len(held(api)) == 1001


def test_what_passes_is_waited_for_and_rates_as_long_as_they_say(tmp_path: Path) -> None:
    file, clock = lines(tmp_path / "v.ndjson", row("a")), Clock()
    with served(FakeApi(before=refusing(3, failure(429, "RATE_LIMIT_EXCEEDED")))) as api:
        imported(api, file, clock=clock)
        assert clock.slept == [3.0, 3.0, 3.0]
    with served(FakeApi(before=refusing(2, (0, {})))) as api:
        imported(api, file)
        assert held(api) == {"a": [1.0, 2.0]}


def test_a_key_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    keys = iter(["sz_old", KEY])
    with served(FakeApi()) as api:
        asked = Remote(api.url, lambda: next(keys), patience_s=1, sleep=lambda _: None)
        assert asked.call("GET", "/vectors/collections/papers/export")["seq"] == 0
        asked.close()


def test_keys_leave_this_machine_by_https_alone() -> None:
    for url in ("http://agents.example.org", "ftp://localhost", "https://a:b@example.org"):
        with pytest.raises(ConfigurationError):
            Remote(url, lambda: KEY, patience_s=1, sleep=lambda _: None)


def test_a_collection_is_made_where_that_is_asked_for(tmp_path: Path) -> None:
    file = lines(tmp_path / "v.ndjson", {"id": "t", "text": "x"}, row("a", 1.0, 2.0, 3.0))
    with served(FakeApi(dimension=None)) as api:
        with pytest.raises(Refused):
            imported(api, file)
        imported(api, file, create={"metric": "dot", "backends": ["faiss"]})
    assert api.created == [{"name": "papers", "dimension": 3, "metric": "dot", "backends": ["faiss"]}]


def test_vectors_of_a_model_say_so(tmp_path: Path) -> None:
    with served(FakeApi(model="minilm")) as api:
        assert imported(api, lines(tmp_path / "v.ndjson", row("a"))) == (1, 0, 1, True)


@pytest.mark.parametrize("format", ["ndjson", "parquet", "npy"])
def test_what_is_exported_is_what_there_is_whatever_changes_meanwhile(format: str, tmp_path: Path) -> None:
    with served(FakeApi()) as api:
        for number in range(11):
            api.put(f"{number}", row(f"{number}", number, 0.5, text=f"text {number}", metadata={"n": [number]}))
        api.put("gone before", None)
        pages = 0

        def meanwhile(_: str, path: str) -> None:
            nonlocal pages
            pages += "/export" in path
            if pages == 3:
                api.put("1", row("1", -1.0, -1.0, text=None, metadata={}))
                api.put("2", None)
                api.put("9", None)
                api.put("new", row("new", 9.0, 9.0, text=None, metadata={}))
                api.put("1", row("1", -2.0, -2.0, text=None, metadata={}))

        api.before = meanwhile
        file = tmp_path / f"v.{format}"
        assert exported(api, file) == 10
        before, api.rows, api.before = held(api), {}, lambda *_: None
        imported(api, file)
        assert held(api) == before
        assert api.rows["3"][1] == row("3", 3.0, 0.5, text="text 3", metadata={"n": [3]})
        assert not gathered_in(file).exists()


def test_an_export_goes_on_with_the_page_at_which_it_ended(tmp_path: Path) -> None:
    file, asked = tmp_path / "v.ndjson", list[str]()
    with served(FakeApi()) as api:
        for number in range(10):
            api.put(f"{number}", row(f"{number}", text=None, metadata={}))

        def third(_: str, path: str) -> Answer | None:
            asked.append(path)
            return failure(403, "FORBIDDEN") if len(asked) == 3 else None

        api.before = third
        with pytest.raises(Refused):
            exported(api, file)
        # As if it had been killed while it wrote.
        with gathered_in(file).open("ab") as gathered:
            gathered.write(b'{"id": "half a li')
        assert exported(api, file) == 10
        assert asked[3] == asked[2]
        assert len({line["id"] for line in map(json.loads, file.read_text().splitlines())}) == 10


def test_what_an_earlier_export_had_gathered_to_the_end_is_not_taken_for_what_is_there_now(tmp_path: Path) -> None:
    file = tmp_path / "v.ndjson"
    with served(FakeApi()) as api:
        api.put("a", row("a", text=None, metadata={}))
        source = json.dumps({"source": f"{api.url} papers"})
        page = json.dumps({"page": {"next_cursor": None, "from_seq": 1, "seq": 1}})
        gathered_in(file).write_text(f'{source}\n{{"id": "old", "seq": 1, "vector": "AAAA"}}\n{page}\n')
        assert exported(api, file) == 1
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == ["a"]


def test_an_export_that_cannot_go_on_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "v.ndjson"
    with served(FakeApi()) as api:
        for number in range(10):
            api.put(f"{number}", row(f"{number}", text=None, metadata={}))
        api.before = refusing(1, failure(409, "CONFLICT"), path="cursor=")
        assert exported(api, file) == 10


def test_the_command_says_what_it_did_and_how_it_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    file = lines(tmp_path / "v.ndjson", row("a"), row("bad"))

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        asked = ("--collection", "papers", "--url", api.url, "--token-file", key, "--patience", "0")
        monkeypatch.setattr("sys.argv", ["functions", "vectors", *map(str, (*arguments, *asked))])
        status = main()
        said = capsys.readouterr()
        return status, said.out, said.err

    with served(FakeApi()) as api:
        assert run("import", file)[:2] == (65, "2 rows, 1 changed, 1 bad\n")
        assert run("import", file, "--strict")[:2] == (
            65,
            "2 rows, 1 changed, 1 bad; stopped, as too many are bad: the next run goes on here\n",
        )
        assert run("export", tmp_path / "out.parquet")[:2] == (0, f"1 vectors in {tmp_path / 'out.parquet'}\n")
        assert run("export", tmp_path / "out.parquet")[0] == 78
        assert run("import", tmp_path / "v.csv")[0] == 78
        assert run("import", tmp_path / "none.ndjson")[0] == 74
        broken = tmp_path / "broken.parquet"
        broken.write_bytes(b"PAR1")
        status, _, err = run("import", broken)
        assert (status, "no whole Parquet file" in err) == (65, True)
        api.before = lambda *_: failure(503, "SERVICE_UNAVAILABLE")
        assert run("import", file)[0] == 75
        api.before = lambda *_: failure(403, "FORBIDDEN", "not for you")
        assert run("import", file) == (77, "", "sutazai: FORBIDDEN: not for you\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal_and_plain_lines_elsewhere() -> None:
    terminal, file = Terminal(), io.StringIO()
    for out in (terminal, file):
        progress = Progress(out, "in", total=200)
        progress.tell(0, 0)
        progress.note("a bad row")
        progress.tell(10, 200, is_last=True)
    assert "\x1b" not in file.getvalue() and "\r" not in file.getvalue()
    assert file.getvalue().splitlines()[0] == "a bad row"
    assert file.getvalue().splitlines()[1].startswith("100% in 10 vectors, ")
    assert f"\r[{'#' * 30}] 100% in 10 vectors, " in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[K\n")
