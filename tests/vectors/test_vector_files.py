"""Files of vectors are read as they were written, and what is none is told apart from rows that are bad."""

import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import ConfigurationError
from shared.stores.vector_files.formats import reader_of, writer_of
from shared.stores.vector_files.npy import lines_of
from shared.stores.vector_files.rows import BadRow, Row, Unreadable

DIMENSION = 3
FORMATS = ("ndjson", "parquet", "npy")
# Lone surrogates and NUL are none of JSON's here.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
scalars = st.one_of(
    texts, st.integers(-(2**53), 2**53), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)
)
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
rows = st.builds(
    Row,
    number=st.just(0),
    end=st.just(0),
    id=texts.filter(bool),
    vector=st.lists(floats, min_size=DIMENSION, max_size=DIMENSION).map(lambda values: np.array(values, np.float32)),
    text=st.none() | texts,
    metadata=st.dictionaries(texts, scalars | st.lists(scalars, max_size=3), max_size=3),
)


def write(path: Path, given: list[Row], dimension: int = DIMENSION) -> None:
    with writer_of(path, dimension=dimension, count=len(given), kept={"metric": "dot"}) as writer:
        for start in range(0, len(given), 2):
            writer.write(given[start : start + 2])


def read(path: Path, *, after: int = 0, number: int = 0) -> list[Row | BadRow]:
    reader = reader_of(path)
    try:
        return list(reader.rows(after=after, number=number))
    finally:
        reader.close()


def shown(row: Row | BadRow) -> tuple[object, ...]:
    assert isinstance(row, Row), row
    assert row.vector is not None
    # Written out, True is not 1, and -0.0 not 0.0.
    return row.id, row.vector.tobytes(), row.text, repr(sorted(row.metadata.items()))


def bad(path: Path) -> list[tuple[int, str]]:
    return [(row.number, row.why) for row in read(path) if isinstance(row, BadRow)]


@pytest.mark.parametrize("format", FORMATS)
@settings(deadline=None, max_examples=50)
@given(given=st.lists(rows, max_size=7))
def test_a_file_is_read_as_it_was_written_from_any_row_on(format: str, given: list[Row]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"vectors.{format}"
        write(path, given)
        found = read(path)
        assert list(map(shown, found)) == list(map(shown, given))
        assert [row.number for row in found] == list(range(1, len(given) + 1))
        for row in found:
            rest = read(path, after=row.end, number=row.number)
            assert list(map(shown, rest)) == list(map(shown, given[row.number :]))
            assert [later.number for later in rest] == list(range(row.number + 1, len(given) + 1))
        reader = reader_of(path)
        assert reader.size == (found[-1].end if found else 0)
        reader.close()


@pytest.mark.parametrize("format", FORMATS)
def test_what_fails_in_the_middle_leaves_no_file(format: str, tmp_path: Path) -> None:
    path = tmp_path / f"vectors.{format}"
    wrong = Row(number=0, end=0, id="a", vector=np.zeros(2, np.float32), metadata={"x": float("nan")})
    with (
        pytest.raises(ValueError, match="Out of range float"),
        writer_of(path, dimension=2, count=2, kept={}) as writer,
    ):
        writer.write([wrong])
    assert list(tmp_path.iterdir()) == []


def test_bad_lines_are_told_by_their_numbers_and_the_others_read(tmp_path: Path) -> None:
    path = tmp_path / "vectors.jsonl"
    lines = [
        b'\xef\xbb\xbf{"id": "a", "vector": [1, 2.5]}',
        b"",
        b"{",
        b"[]",
        b'{"id": 1, "vector": [1, 2]}',
        b'{"id": "b", "vector": [1, NaN]}',
        b'{"id": "b", "vector": [1, 1e300]}',
        b'{"id": "b", "vector": [1, true]}',
        b'{"id": "b", "vector": "1, 2"}',
        b'{"id": "b"}',
        b'{"id": "b", "vector": [1], "vektor": 1}',
        b'{"id": "b", "vector": [1], "metadata": {"x": {"y": 1}}}',
        b'{"id": "b", "vector": [1], "text": 5}',
        b'{"id": "\xff", "vector": [1]}',
        b'{"id": "b", "id": "c", "vector": [1]}',
        b'{"id": "b", "text": "' + b"x" * (11 << 20) + b'"}',
        b'{"id": "z", "text": "only a text", "seq": 5, "created_at": "2026-01-31T00:00:00Z"}',
    ]
    path.write_bytes(b"\r\n".join(lines))
    assert [(row.number, row.id) for row in read(path) if isinstance(row, Row)] == [(1, "a"), (17, "z")]
    assert bad(path) == [
        (3, "the body is not JSON: Expecting property name enclosed in double quotes at character 1"),
        (4, "the line is no JSON object"),
        (5, "id is no string, or empty"),
        (6, "NaN is not JSON"),
        (7, "vector holds what is no finite number of 32 bits"),
        (8, "vector holds what is no number"),
        (9, "vector is no list of numbers"),
        (10, "there is neither a vector nor a text"),
        (11, "'vektor' is none of id, metadata, text, vector"),
        (12, "metadata.x is neither a string, a number, a boolean nor a list of them"),
        (13, "text is no string"),
        (14, "the body is not UTF-8"),
        (15, "an object has the same key twice"),
        (16, "the line is longer than 10 MiB"),
    ]


def test_a_matrix_needs_no_lines_beside_it_and_is_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npy"
    np.save(path, np.array([[1, 2], [3, np.inf]], np.float16))
    (first, second) = read(path)
    assert shown(first) == ("0", np.array([1, 2], np.float32).tobytes(), None, "[]")
    assert isinstance(second, BadRow) and second.number == 2
    np.save(path, np.array([[object()]]), allow_pickle=True)
    with pytest.raises(Unreadable, match="is no whole"):
        read(path)
    for wrong in (np.zeros(3), np.zeros((2, 2), np.int64), np.array([["a"]])):
        np.save(path, wrong)
        with pytest.raises(Unreadable, match="is no matrix of floats"):
            read(path)
    np.save(path, np.zeros((4, 2)))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Unreadable, match="is no whole"):
        read(path)


@pytest.mark.parametrize("lines, why", [(1, "fewer lines"), (3, "more lines")])
def test_a_matrix_with_the_lines_of_another_is_told(lines: int, why: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.npy"
    np.save(path, np.zeros((2, 2), np.float32))
    lines_of(path).write_text("".join(f'{{"id": "{number}"}}\n' for number in range(lines)))
    with pytest.raises(Unreadable, match=why):
        read(path)


def test_parquet_of_other_writers_is_read_as_far_as_it_is_vectors(tmp_path: Path) -> None:
    path = tmp_path / "vectors.parquet"
    columns = {
        "id": ["a", "b", None, "d"],
        "vector": [[1, 2], None, [3, 4], [5, None]],
        "metadata": [{"x": 1, "y": None}, {"x": None, "y": ["p"]}, None, None],
        "text": ["one", "two", None, None],
        "other": [1, 2, 3, 4],
    }
    pq.write_table(pa.table(columns), path, row_group_size=2)
    found = read(path)
    assert [(row.id, row.text, row.metadata) for row in found if isinstance(row, Row)] == [
        ("a", "one", {"x": 1}),
        ("b", "two", {"y": ["p"]}),
    ]
    assert bad(path) == [(3, "id is no string, or empty"), (4, "vector holds what is no finite number of 32 bits")]
    for wrong in ({"vector": [[1.0]]}, {"id": ["a"]}, {"id": ["a"], "vector": [1.0]}):
        pq.write_table(pa.table(wrong), path)
        with pytest.raises(Unreadable):
            read(path)


def test_a_parquet_file_that_is_cut_or_damaged_is_unreadable_and_nothing_worse(tmp_path: Path) -> None:
    path, dice = tmp_path / "vectors.parquet", random.Random(5)
    of = [Row(number=0, end=0, id=f"{n}", vector=np.full(4, n, np.float32), text="x" * n) for n in range(50)]
    write(path, of, dimension=4)
    whole = path.read_bytes()
    for _ in range(60):
        damaged = bytearray(whole)
        if dice.random() < 0.3:
            del damaged[dice.randrange(len(damaged)) :]
        else:
            for _ in range(dice.choice((1, 20))):
                damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        try:
            assert len(read(path)) <= 50
        except Unreadable:
            continue


def test_what_a_parquet_file_says_of_its_collection_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "vectors.parquet"
    write(path, [], dimension=2)
    reader = reader_of(path)
    assert (reader.kept, reader.size) == ({"metric": "dot"}, 0)
    reader.close()
    assert json.loads(pq.read_schema(path).metadata[b"sutazai"]) == {"metric": "dot"}


def test_a_name_without_a_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ends in none of"):
        reader_of(tmp_path / "vectors.csv")
