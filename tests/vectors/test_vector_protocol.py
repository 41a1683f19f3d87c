"""What the vector service is asked and what it answers, byte by byte; and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shared.errors import Invalid, Unauthorized
from shared.ports.vector_engine import Hit, Hits
from shared.ports.vector_service import Embedded, Model
from shared.ports.vectors import Kept
from shared.vectors.filters import And, Eq, Exists, Filter, In, Not, Or, Range
from shared.vectors.serving import protocol, signing
from shared.vectors.serving.filter_form import filter_of, form
from shared.vectors.serving.protocol import Answered, Searches

_FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
_SCALARS = st.one_of(st.text(), st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))
_BOUNDS = st.one_of(st.none(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
_LEAVES = st.one_of(
    st.builds(Eq, st.text(), _SCALARS),
    st.builds(In, st.text(), st.lists(_SCALARS, max_size=5).map(tuple)),
    st.builds(Range, st.text(), _BOUNDS, _BOUNDS, _BOUNDS, _BOUNDS),
    st.builds(Exists, st.text()),
)
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    _LEAVES,
    lambda parts: st.one_of(
        st.builds(And, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Or, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Not, parts),
    ),
    max_leaves=10,
)


def kept(dimension: int = 3, **more: Any) -> Kept:
    return Kept(
        **{
            "id": uuid4(),
            "user_id": UUID(int=0),
            "name": "",
            "dimension": dimension,
            "metric": "dot",
            "model": None,
            "backends": ("faiss",),
            "seq": 7,
            "trimmed_seq": 0,
            **more,
        }
    )


def asked(**more: Any) -> Searches:
    return Searches(**{"collection": kept(), "top_k": 10, "vectors": np.zeros((1, 3), np.float32), **more})


def changed(message: bytes, **head: object) -> bytes:
    """The same message with other values in its head."""
    end = 4 + int.from_bytes(message[:4], "little")
    text = json.dumps({**json.loads(message[4:end]), **head}).encode()
    return len(text).to_bytes(4, "little") + text + message[end:]


@given(FILTERS)
def test_filters_come_out_as_they_go_in(filter: Filter) -> None:
    # By what is written, as 1, 1.0 and true are equal to Python.
    assert repr(filter_of(json.loads(json.dumps(form(filter))))) == repr(filter)


@pytest.mark.parametrize(
    "given",
    [
        None,
        "eq",
        [],
        ["eq"],
        ["eq", 1, 2],
        ["eq", "k", None],
        ["eq", "k", float("nan")],
        ["eq", "k", [1]],
        ["in", "k", [None]],
        ["in", "k", list(range(1001))],
        ["range", "k", [1, 2]],
        ["range", "k", [True, None, None, None]],
        ["range", "k", ["1", None, None, None]],
        ["exists", "k", "l"],
        ["and", {"k": 1}],
        ["and", [["nope"]]],
        ["not", None],
        ["or", [["eq", "k", 1]] * 5000],
    ],
)
def test_what_is_no_filter_is_refused(given: Any) -> None:
    with pytest.raises(Invalid):
        filter_of(given)


def test_a_filter_that_is_nested_too_deep_is_refused() -> None:
    deep: Any = ["exists", "k"]
    for _ in range(100):
        deep = ["not", deep]
    with pytest.raises(Invalid):
        filter_of(deep)


@given(
    arrays(np.float32, st.tuples(st.integers(1, 4), st.just(3)), elements=_FLOATS),
    st.one_of(st.none(), FILTERS),
    st.one_of(st.none(), st.text()),
    st.integers(1, 10_000),
    st.integers(0, 2**60),
)
def test_searches_come_out_as_they_go_in(
    vectors: Any, filter: Filter | None, contains: str | None, top_k: int, min_seq: int
) -> None:
    searches = asked(vectors=vectors, filter=filter, contains=contains, top_k=top_k, min_seq=min_seq, backend="faiss")
    found = protocol.read_searches(protocol.write_searches(searches))
    assert (found.vectors == vectors).all() and found.vectors.dtype == np.float32
    nothing = np.empty((0, 3), np.float32)
    assert repr(replace(found, vectors=nothing)) == repr(replace(searches, vectors=nothing))


def test_texts_are_searched_for_without_vectors() -> None:
    searches = asked(texts=["a", "ü\u0000"], vectors=np.empty((0, 3), np.float32), collection=kept(model="m"))
    assert protocol.read_searches(protocol.write_searches(searches)).texts == ["a", "ü\u0000"]


@given(
    st.lists(st.lists(st.builds(Hit, st.integers(0, 2**62), st.floats(allow_nan=False)), max_size=4), max_size=4),
    st.booleans(),
)
def test_answers_come_out_as_they_go_in(of: list[list[Hit]], by_texts: bool) -> None:
    vectors = np.ones((len(of), 3), np.float32) if by_texts and of else None
    answered = Answered(
        hits=Hits(of=of, applied_seq=5, exact=True),
        backend="qdrant",
        degraded=True,
        lag_seq=2,
        embedding_ms=0.5,
        search_ms=1.5,
        vectors=vectors,
    )
    found = protocol.read_answered(protocol.write_answered(answered), queries=len(of))
    assert (None if found.vectors is None else found.vectors.tolist()) == (
        None if vectors is None else vectors.tolist()
    )
    assert replace(found, vectors=None) == replace(answered, vectors=None)


def test_an_answer_to_another_search_is_refused() -> None:
    answered = Answered(
        hits=Hits(of=[[Hit(1, 0.5)]], applied_seq=5, exact=True),
        backend="faiss",
        degraded=False,
        lag_seq=0,
        embedding_ms=0,
        search_ms=0,
        vectors=None,
    )
    message = protocol.write_answered(answered)
    for wrong, queries in ((message, 2), (message[:-1], 1), (message + b"x", 1), (changed(message, counts=[9]), 1)):
        with pytest.raises(Invalid):
            protocol.read_answered(wrong, queries=queries)


def test_embeddings_come_out_as_they_go_in() -> None:
    message = protocol.read_embed(protocol.write_embed(["a", "b"], model="hash", kind="query"))
    assert (message.texts, message.model, message.kind) == (["a", "b"], "hash", "query")
    model = Model(name="hash", id="hash-2", dimension=2)
    vectors = np.array([[1, 2], [3, 4]], np.float32)
    found = protocol.read_embedded(protocol.write_embedded(Embedded(model=model, vectors=vectors)))
    assert found.model == model and (found.vectors == vectors).all()


GOOD = protocol.write_searches(asked(filter=Eq("k", 1)))


@given(st.integers(0, len(GOOD) - 1))
def test_a_search_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(Invalid):
        protocol.read_searches(GOOD[:length])


@given(st.binary(max_size=300))
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        protocol.read_searches(body)
    with pytest.raises(Invalid):
        protocol.read_embed(body)


@pytest.mark.parametrize(
    "head",
    [
        {"dimension": 0},
        {"dimension": 2},
        {"dimension": 100_000},
        {"queries": 2},
        {"queries": 0},
        {"queries": 257},
        {"queries": -1},
        {"queries": 2**40},
        {"top_k": 0},
        {"top_k": 10**9},
        {"texts": ["both"]},
        {"texts": []},
        {"texts": ["x"] * 300, "queries": 0},
        {"metric": "manhattan"},
        {"backends": []},
        {"backend": "milvus"},
        {"min_seq": -1},
        {"seq": "many"},
        {"id": "nobody"},
        {"filter": ["eq", "k"]},
        {"filter": {"k": 1}},
        {"user_id": str(uuid4())},
    ],
)
def test_a_head_that_says_what_cannot_be_is_refused(head: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        protocol.read_searches(changed(GOOD, **head))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused(number: float) -> None:
    with pytest.raises(Invalid, match="finite"):
        protocol.read_searches(protocol.write_searches(asked(vectors=np.array([[0, number, 0]], np.float32))))


def test_only_who_has_the_key_can_ask_and_only_what_was_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = signing.Signer(tmp_path)
    signed = signer.sign("/search", b"body")
    signing.Signer(tmp_path).verify(signed, "/search", b"body")
    other = signing.Signer(tmp_path / "other").sign("/search", b"body")
    later = b"%d" % (int(signed.partition(b".")[0]) + 1) + b"." + signed.partition(b".")[2]
    wrong = [
        (other, "/search", b"body"),
        (signed, "/embed", b"body"),
        (signed, "/search", b"bodY"),
        (later, "/search", b"body"),
        (signed[:-1], "/search", b"body"),
        (b"", "/search", b"body"),
        (b".", "/search", b"body"),
        (b"9" * 5000 + b".aa", "/search", b"body"),
    ]
    for header, path, body in wrong:
        with pytest.raises(Unauthorized):
            signer.verify(header, path, body)
    monkeypatch.setattr("time.time", lambda: int(signed.partition(b".")[0]) + 61.0)
    with pytest.raises(Unauthorized):
        signer.verify(signed, "/search", b"body")
