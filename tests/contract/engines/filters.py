"""What passes a filter."""

from collections.abc import Mapping

import pytest

from shared.ports.vector_engine import Metadata, VectorEngine
from shared.vectors.filters import CREATED_AT, And, Eq, Exists, Filter, In, Not, Or, Range
from tests.contract.engines.playing import Engines, filled, new_space, play, point, same_search, same_state, wanted

TWO_53 = 2**53
PAPERS: Mapping[int, Metadata] = {
    1: {"lang": "en", "year": 2024, "tags": ["maths", "graphs"], "open": True, "score": 0.5},
    2: {"lang": "de", "year": 1999, "tags": ["graphs"], "open": False, "score": -1.5},
    3: {"lang": "en", "year": 2024.0, "tags": [], "open": 1, "score": 0},
    4: {"lang": ["en", "fr"], "year": "2024", "tags": "maths", "open": "true", "score": [1, 9]},
    5: {},
    6: {"lang": "EN", "year": [1990, 2030], "tags": ["Maths", 1, True, 2.5], "open": 0, "score": 1e300},
    7: {"été": "à la plage", "名前": ["猫", "犬"], "a.b": 1, "a b": 2, "🙂": True, "": "empty"},
    8: {"n": TWO_53, "year": TWO_53 + 1, "lang": "", "score": [0.1, 0.2]},
    9: {"n": TWO_53 + 1, "year": -5, "lang": " en", "score": -0.0},
    10: {"n": float(TWO_53), "a": {"b": 1}.get("b", 0), "numbers.x": 3, "terms": "x", "seq": 5, "gone": True},
    11: {"n": "9007199254740992", "open": [False, True], "$gt": 1, "*": 2, "%": "%", "id": "id-1", "metadata": "m"},
}
FILTERS: Mapping[str, Filter] = {
    "a string": Eq("lang", "en"),
    "a string in other letters": Eq("lang", "EN"),
    "an empty string": Eq("lang", ""),
    "a string with a space": Eq("lang", " en"),
    "a whole number": Eq("year", 2024),
    "a float that is whole": Eq("year", 2024.0),
    "a number as a string": Eq("year", "2024"),
    "true": Eq("open", True),
    "false": Eq("open", False),
    "one": Eq("open", 1),
    "zero": Eq("open", 0),
    "zero as a float below nothing": Eq("score", -0.0),
    "true as a string": Eq("open", "true"),
    "a fraction": Eq("score", 0.1),
    "a very large float": Eq("score", 1e300),
    "an item of a list": Eq("tags", "graphs"),
    "a number in a mixed list": Eq("tags", 1),
    "true in a mixed list": Eq("tags", True),
    "a key that nobody has": Eq("none", 1),
    "one of several": In("lang", ("de", "fr")),
    "one of several kinds": In("open", (True, "true", 0)),
    "one of none": In("lang", ()),
    "one of one, twice": In("lang", ("de", "de")),
    "one of very many": In("year", tuple(range(1000, 2000))),
    "a range with both ends": Range("year", gte=1999, lte=2024),
    "a range without its ends": Range("year", gt=1999, lt=2024),
    "a range that is open above": Range("year", gte=2024),
    "a range that is open below": Range("score", lt=0),
    "a range of fractions": Range("score", gte=0.1, lt=0.5),
    "a range that nothing is in": Range("year", gt=5, lt=5),
    "a range without bounds": Range("year"),
    "a range that two items are around": Range("score", gt=1, lt=9),
    "a range that booleans are not in": Range("open", gte=0),
    "a range of what floats cannot tell apart": Range("n", gt=TWO_53),
    "a range up to there": Range("n", lte=TWO_53),
    "what is not in that range": Not(Range("n", gt=TWO_53)),
    "a whole number that floats cannot tell": Eq("n", TWO_53 + 1),
    "a whole number that floats can": Eq("n", TWO_53),
    "a key that is there": Exists("year"),
    "a key that holds an empty list": Exists("tags"),
    "a key that is not there": Not(Exists("lang")),
    "not equal": Not(Eq("lang", "en")),
    "none of these": Not(In("lang", ("en", "de"))),
    "not one of none": Not(In("lang", ())),
    "outside of a range": Not(Range("year", gte=2000, lt=2025)),
    "outside of a range of items": Not(Range("score", gt=1, lt=9)),
    "all of nothing": And(()),
    "one of no filters": Or(()),
    "not all of nothing": Not(And(())),
    "not one of no filters": Not(Or(())),
    "both": And((Eq("lang", "en"), Eq("year", 2024))),
    "either": Or((Eq("lang", "de"), Range("score", gt=100))),
    "either, one of which nobody passes": Or((Or(()), Eq("lang", "de"))),
    "both, one of which everybody passes": And((And(()), Eq("lang", "de"))),
    "both, one of which nobody passes": And((Eq("lang", "de"), In("year", ()))),
    "not not": Not(Not(Eq("lang", "en"))),
    "not not not": Not(Not(Not(Exists("lang")))),
    "not both": Not(And((Eq("lang", "en"), Eq("open", True)))),
    "not either": Not(Or((Eq("lang", "en"), Range("year", lt=2000)))),
    "nested": And((Or((Eq("lang", "en"), Not(Exists("lang")))), Not(Or((Eq("open", True), Range("score", gt=5)))))),
    "deeply nested": And((Or((Not(And((Or((Not(Eq("lang", "en")), Exists("none"))), Exists("year")))),)),)),
    "a key of another script": Eq("名前", "犬"),
    "a key with an accent": Eq("été", "à la plage"),
    "a key that is a picture": Exists("🙂"),
    "a key with a dot": Eq("a.b", 1),
    "a key with a space": Range("a b", gte=2),
    "the empty key": Eq("", "empty"),
    "a key like a path into what is stored": Range("numbers.x", gt=0),
    "a key like a field of what is stored": Eq("seq", 5),
    "a key that would say it is deleted": Eq("gone", True),
    "a key like an operator": Eq("$gt", 1),
    "a key like a wildcard": Eq("*", 2),
    "a value like a pattern": Eq("%", "%"),
}


@pytest.mark.parametrize("named", FILTERS)
def test_what_passes_a_filter_is_what_passes_it_in_the_tree(engines: Engines, named: str) -> None:
    points = [point(number, metadata=metadata) for number, metadata in PAPERS.items()]

    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, points)
        await same_search(engine, oracle, space, wanted(top_k=20, filter=FILTERS[named]))

    play(engines.opened, scenario)


@pytest.mark.parametrize(
    "when, numbers",
    [
        (Range(CREATED_AT, gte=1_700_000_000.5), [4, 3]),
        (Range(CREATED_AT, gt=1_700_000_000.5), [4]),
        (Range(CREATED_AT, lt=1_700_000_000.5), [2, 1]),
        (Range(CREATED_AT, gte=0.0, lte=1_700_000_000.5), [3, 2, 1]),
        (Not(Range(CREATED_AT, gte=1_700_000_000)), [1]),
        (Eq(CREATED_AT, 1_700_000_000), [2]),
        (Exists(CREATED_AT), [4, 3, 2, 1]),
    ],
)
def test_what_was_created_between_two_times_passes(engines: Engines, when: Filter, numbers: list[int]) -> None:
    times = (0.0, 1_700_000_000.0, 1_700_000_000.5, 1_900_000_000.25)
    points = [point(number, created_at=time, metadata={"created_at": 7}) for number, time in enumerate(times, 1)]

    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, points)
        assert await same_search(engine, oracle, space, wanted(filter=when)) == [numbers]

    play(engines.opened, scenario)


def test_filters_nested_as_deeply_as_they_may_be_are_answered(engines: Engines) -> None:
    nested: Filter = Eq("lang", "en")
    for depth in range(16):
        nested = Not(And((Or((nested, Eq("year", depth))), Exists("lang"))))

    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, [point(number, metadata=held) for number, held in PAPERS.items()])
        await same_search(engine, oracle, space, wanted(top_k=20, filter=nested))

    play(engines.opened, scenario)


def test_lists_of_hundreds_of_items_are_looked_into(engines: Engines) -> None:
    points = [point(number, metadata={"n": list(range(number * 100, number * 100 + 300))}) for number in range(1, 6)]

    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, points)
        for asked in (Eq("n", 399), Range("n", gt=420, lt=422), Not(Range("n", lt=300)), Not(Eq("n", 399))):
            await same_search(engine, oracle, space, wanted(filter=asked))
        await same_state(engine, oracle, space)

    play(engines.opened, scenario)


def test_metadata_that_changes_is_no_longer_found_by_what_it_was(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        before = point(1, metadata={"lang": "en", "year": 2000, "tags": ["a", "b"], "old": True}, text="before")
        oracle = await filled(engine, space, [before])
        for one in (engine, oracle):
            await one.apply(space, [point(1, seq=5, metadata={"lang": "de", "tags": ["c"]})], upto_seq=5)
        for asked in (Eq("lang", "en"), Range("year", gt=0), Exists("old"), Eq("tags", "b"), Eq("tags", "c")):
            await same_search(engine, oracle, space, wanted(filter=asked))
        await same_search(engine, oracle, space, wanted(contains="before"))
        await same_state(engine, oracle, space)

    play(engines.opened, scenario)
