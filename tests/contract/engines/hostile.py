"""Content that looks like something else."""

from shared.ports.vector_engine import Metadata, Point, VectorEngine
from shared.vectors.filters import Eq, In, Range
from tests.contract.engines.playing import (
    Engines,
    filled,
    new_space,
    play,
    point,
    same_search,
    same_state,
    vector,
    wanted,
)

HOSTILE = (
    "",
    " ",
    "'; DROP TABLE vectors; --",
    '"}]}',
    "../../etc/passwd",
    "\\x00\u200b\u202e",
    "line\nbreak\ttab\r",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "%s%n%d",
    "é\u0301 ﷽ 🏳️‍🌈",
    "null",
    "NaN",
    "x" * 20_000,
)


def test_ids_and_metadata_are_only_kept_whatever_they_spell(engines: Engines) -> None:
    points = [
        Point(
            number=n,
            vector_id=text or "-",
            seq=n,
            vector=vector(n, 1, 0, 0),
            metadata={text: text, "list": [text, n, True], "other": [text]},
            text=text,
        )
        for n, text in enumerate(HOSTILE, 1)
    ]

    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, points)
        await same_state(engine, oracle, space)
        for number, text in enumerate(HOSTILE, 1):
            for asked in (Eq(text, text), Eq("list", text), In("other", (text,))):
                found = await same_search(engine, oracle, space, wanted(filter=asked, top_k=20))
                assert found == [[number]]

    play(engines.opened, scenario)


def test_many_keys_and_long_values_are_kept(engines: Engines) -> None:
    metadata: Metadata = {"long": "ab" * 50_000, **{f"key {n}": [n, str(n), n / 7] for n in range(300)}}

    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, [point(1, metadata=metadata), point(2)])
        await same_state(engine, oracle, space)
        for asked in (Eq("key 299", 299 / 7), Eq("long", "ab" * 50_000), Range("key 40", gt=39, lt=41)):
            assert await same_search(engine, oracle, space, wanted(filter=asked)) == [[1]]

    play(engines.opened, scenario)


def test_whole_numbers_keep_their_64_bits(engines: Engines) -> None:
    metadata: Metadata = {"most": 2**63 - 1, "least": -(2**63), "list": [2**53 + 1, 1.5, -0.0]}

    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, [point(1, metadata=metadata, created_at=1_700_000_000.123456)])
        await same_state(engine, oracle, space)
        assert await same_search(engine, oracle, space, wanted(filter=Eq("most", 2**63 - 1))) == [[1]]
        assert await same_search(engine, oracle, space, wanted(filter=Eq("most", 2**63 - 2))) == [[]]
        assert await same_search(engine, oracle, space, wanted(filter=Range("least", lt=-(2**62)))) == [[1]]

    play(engines.opened, scenario)
