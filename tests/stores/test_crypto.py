"""Key files, keyed hashes and the codec of columns."""

import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from shared.crypto import (
    Codec,
    blind_index,
    index_key,
    keyed_hash,
    read_key,
    refresh_key,
    rotate_signing_key,
    signing_seeds,
)
from shared.errors import ConfigurationError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda part: st.lists(part) | st.dictionaries(st.text(), part),
)


@limits(deadline=None, max_examples=50)
@given(st.binary())
def test_what_is_sealed_opens_again_and_names_its_key(value: bytes) -> None:
    sealed = Codec().seal(value, table="t", column="c", row="1")
    assert sealed[0] == 0
    assert Codec().open(sealed, table="t", column="c", row="1") == value


@limits(deadline=None, max_examples=50)
@given(JSON)
def test_sealed_json_opens_again(value: object) -> None:
    sealed = Codec().seal_json(value, table="t", column="c", row="1")
    assert Codec().open_json(sealed, table="t", column="c", row="1") == value


def test_sealed_text_opens_again() -> None:
    sealed = Codec().seal("grüße", table="t", column="c", row="1")
    assert Codec().open_text(sealed, table="t", column="c", row="1") == "grüße"


@pytest.mark.parametrize("sealed", [b"", b"\x01secret", b"\xff"])
def test_an_unknown_key_version_is_refused_without_showing_the_value(sealed: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"users\.email of '7' has the unknown key version") as refusal:
        Codec().open(sealed, table="users", column="email", row="7")
    assert "secret" not in str(refusal.value)


def test_a_key_is_made_once_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    key = read_key(folder, "index")
    assert len(key) == 32 and read_key(folder, "index") == key
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "index.key").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["index.key"]


def test_different_uses_have_different_keys(tmp_path: Path) -> None:
    assert len({index_key(tmp_path), refresh_key(tmp_path), *signing_seeds(tmp_path)}) == 3


def _all_keys(folder: Path) -> tuple[bytes, ...]:
    return (index_key(folder), refresh_key(folder), *signing_seeds(folder))


def test_processes_that_race_for_keys_get_the_same(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        found = set(pool.map(_all_keys, [tmp_path / "keys"] * 16))
    assert len(found) == 1 and len(next(iter(found))) == 3


def test_a_damaged_key_is_refused_rather_than_replaced(tmp_path: Path) -> None:
    (tmp_path / "index.key").write_bytes(b"short")
    with pytest.raises(ConfigurationError, match=r"index\.key"):
        index_key(tmp_path)
    assert (tmp_path / "index.key").read_bytes() == b"short"


def test_rotation_keeps_the_key_before_and_drops_older_ones(tmp_path: Path) -> None:
    (first,) = signing_seeds(tmp_path)
    rotate_signing_key(tmp_path)
    second, still_first = signing_seeds(tmp_path)
    assert still_first == first != second
    rotate_signing_key(tmp_path)
    third, still_second = signing_seeds(tmp_path)
    assert still_second == second and third not in (first, second)
    assert len(list(tmp_path.glob("signing-*.key"))) == 2


@limits(deadline=None, max_examples=50)
@given(st.text(), st.text())
def test_equal_texts_and_only_they_share_an_index(left: str, right: str) -> None:
    key = b"k" * 32
    assert (blind_index(key, left) == blind_index(key, right)) == (left == right)


@pytest.mark.parametrize("parts", [(b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"abc", b""), ()])
def test_a_keyed_hash_sees_where_parts_end(parts: tuple[bytes, ...]) -> None:
    others = {(b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"abc", b""), ()} - {parts}
    assert keyed_hash(b"k", "use", *parts) not in {keyed_hash(b"k", "use", *other) for other in others}
    assert keyed_hash(b"k", "use", *parts) != keyed_hash(b"k", "other use", *parts)
