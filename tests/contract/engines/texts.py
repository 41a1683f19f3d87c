"""What is found by a part of its text."""

import pytest

from shared.ports.vector_engine import VectorEngine
from shared.vectors.filters import Eq, Range
from tests.contract.engines.playing import Engines, filled, new_space, play, point, same_search, wanted

TEXTS = (
    "Vectors are searched.",
    "searched, said ÉMILE: 100% _done_",
    'a "quoted" line\nand its next',
    "",
    None,
    "猫が好き",
)


@pytest.mark.parametrize(
    "part, numbers",
    [
        ("searched", [2, 1]),
        ("Searched", []),
        ("are searched.", [1]),
        ("ÉMILE", [2]),
        ("émile", []),
        ("e", [3, 2, 1]),
        ("%", [2]),
        ("_d", [2]),
        ("*", []),
        ('"quoted" line\nand', [3]),
        ("'; --", []),
        ("猫", [6]),
        ("", [6, 5, 4, 3, 2, 1]),
    ],
)
def test_a_text_is_found_by_a_part_of_it_to_the_letter(engines: Engines, part: str, numbers: list[int]) -> None:
    points = [point(number, text=text) for number, text in enumerate(TEXTS, 1)]

    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, points)
        assert await same_search(engine, oracle, space, wanted(contains=part)) == [numbers]

    play(engines.opened, scenario)


def test_a_part_of_the_text_and_a_filter_are_both_asked_for(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        points = [point(number, text=f"page {number}", metadata={"odd": number % 2 == 1}) for number in range(1, 25)]
        oracle = await filled(engine, space, points)
        asked = wanted(top_k=3, filter=Eq("odd", True), contains="page 1")
        assert await same_search(engine, oracle, space, asked) == [[19, 17, 15]]
        large = wanted(top_k=3, filter=Range("none", gt=2**54), contains="page 1")
        assert await same_search(engine, oracle, space, large) == [[]]

    play(engines.opened, scenario)
