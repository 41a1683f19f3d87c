"""What every object store keeps. A module that runs this has a fixture `objects`, and imports these tests with `*`."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from shared.errors import Conflict, NotFound
from shared.ports.objects import Objects

Opened = Callable[[], AbstractAsyncContextManager[Objects]]


def play(opened: Opened, scenario: Callable[[Objects], Awaitable[Any]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), opened() as objects:
            await scenario(objects)

    asyncio.run(main())


def test_what_was_put_is_got_with_the_etag_of_that_put(objects: Opened) -> None:
    async def scenario(store: Objects) -> None:
        etag = await store.put("users/a/one.bin", b"\x00first")
        assert await store.get("users/a/one.bin") == (b"\x00first", etag)

    play(objects, scenario)


def test_an_empty_object_is_one(objects: Opened) -> None:
    async def scenario(store: Objects) -> None:
        await store.put("empty", b"")
        assert (await store.get("empty"))[0] == b""
        assert b"".join([piece async for piece in store.read("empty")]) == b""

    play(objects, scenario)


def test_a_second_put_takes_the_place_of_the_first_and_has_another_etag(objects: Opened) -> None:
    async def scenario(store: Objects) -> None:
        first = await store.put("key", b"first")
        second = await store.put("key", b"other")
        assert await store.get("key") == (b"other", second)
        assert first != second

    play(objects, scenario)


def test_a_large_object_is_read_in_pieces(objects: Opened) -> None:
    content = bytes(range(256)) * 8192

    async def scenario(store: Objects) -> None:
        await store.put("large", content)
        pieces = [piece async for piece in store.read("large")]
        assert len(pieces) > 1 and b"".join(pieces) == content

    play(objects, scenario)


def test_what_is_not_there_is_not_found(objects: Opened) -> None:
    async def scenario(store: Objects) -> None:
        await store.put("users/a", b"")
        for key in ("users/b", "users", "users/a/b"):
            with pytest.raises(NotFound):
                await store.get(key)
            with pytest.raises(NotFound):
                _ = [piece async for piece in store.read(key)]

    play(objects, scenario)


def test_what_was_deleted_is_gone_and_deleting_it_again_does_nothing(objects: Opened) -> None:
    async def scenario(store: Objects) -> None:
        await store.put("users/a/one", b"1")
        await store.put("users/a/two", b"2")
        for _ in range(2):
            await store.delete("users/a/one")
        with pytest.raises(NotFound):
            await store.get("users/a/one")
        assert (await store.get("users/a/two"))[0] == b"2"

    play(objects, scenario)


def test_objects_are_listed_by_prefix_in_order_of_key(objects: Opened) -> None:
    async def scenario(store: Objects) -> None:
        for key in ("b/2", "b/10", "b/1/x", "a", "bb/1", "c"):
            await store.put(key, key.encode())
        listed = [stored async for stored in store.list("b/")]
        assert [(stored.key, stored.size_bytes) for stored in listed] == [("b/1/x", 5), ("b/10", 4), ("b/2", 3)]
        assert [stored.etag for stored in listed] == [(await store.get(stored.key))[1] for stored in listed]
        assert [stored.key async for stored in store.list("b")] == ["b/1/x", "b/10", "b/2", "bb/1"]
        assert [stored.key async for stored in store.list("none/")] == []
        assert len([stored async for stored in store.list("")]) == 6

    play(objects, scenario)


def test_only_the_first_of_those_that_want_it_absent_puts_it(objects: Opened) -> None:
    async def scenario(store: Objects) -> None:
        await store.put("lease", b"mine", if_absent=True)
        with pytest.raises(Conflict):
            await store.put("lease", b"theirs", if_absent=True)
        assert (await store.get("lease"))[0] == b"mine"

    play(objects, scenario)


def test_a_put_that_names_an_old_etag_changes_nothing(objects: Opened) -> None:
    async def scenario(store: Objects) -> None:
        old = await store.put("manifest", b"1")
        new = await store.put("manifest", b"2", if_match=old)
        with pytest.raises(Conflict):
            await store.put("manifest", b"3", if_match=old)
        assert await store.get("manifest") == (b"2", new)

    play(objects, scenario)


@pytest.mark.parametrize(
    "key",
    ["", "/", "a/", "/a", "a//b", "..", "a/../b", ".hidden", "a/.staged-1", "A", "a b", "ä", "a\0", "a\n", "x" * 513],
)
def test_what_is_no_key_is_refused(objects: Opened, key: str) -> None:
    async def scenario(store: Objects) -> None:
        with pytest.raises(ValueError, match="no key of an object"):
            await store.put(key, b"")
        with pytest.raises(ValueError, match="no key of an object"):
            await store.get(key)

    play(objects, scenario)
