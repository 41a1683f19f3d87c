"""P16: JSON in = JSON out, byte for byte as `dump` writes it, through the record and back; the rest is refused."""

import asyncio

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
from hypothesis import strategies as st

from shared import strict_json
from shared.config import Settings
from shared.errors import Invalid
from shared.ports.tasks import Outcome
from shared.strict_json import DEPTH, Json
from tests.contract.test_queue import House, house, play

# What other stores, drivers and parsers are known to change.
CORPUS = (
    *("null", "true", "false", "0", "-0.0", "1", "1.0", "1e2", "0.1", "1e-7", "123456789012345680.0"),
    *("9223372036854775807", "-9223372036854775808", "9007199254740993", "5e-324", "1.7976931348623157e308"),
    *('""', '" "', '"\\\\"', '"\\""', '"/"', '"\\u007f"', '"\\u0001\\u001f"', '"\\t\\n\\r\\b\\f"', '"\\ufffd\\ufeff"'),
    *('"\\u2028\\u2029"', '"\\u00e9"', '"e\\u0301"', '"\\ud83d\\ude00"', '"\\uffff"', '"</script>"', '"null"', '"1"'),
    *("[]", "{}", "[[]]", "[{}]", "[null]", '{"": ""}', '{"b": 1, "a": 2, "B": 3}', '{"a": {"a": {"a": null}}}'),
    *('{"\\u00e9": 1, "e\\u0301": 2}', '{"__proto__": 1, "constructor": 2, "$ref": "#"}', '{" a": 1, "a ": 2}'),
    "[" * (DEPTH - 1) + "]" * (DEPTH - 1),
    "[" + ",".join(["0"] * 20_000) + "]",
    '"' + "\u00e9" * 60_000 + '"',
)


def test_the_corpus_comes_out_as_it_went_in(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        for written in CORPUS:
            value = strict_json.parse(written.encode())
            held = await here.begun(parameters={"value": value})
            assert strict_json.dump(held.parameters["value"]) == strict_json.dump(value)
            await here.queue.finish(held, Outcome("succeeded", value))
            task = await here.task(held.id)
            shown = task.model_dump(mode="json")
            assert strict_json.dump(shown["parameters"]["value"]) == strict_json.dump(value), written[:40]
            assert strict_json.dump(shown["result"]) == strict_json.dump(value), written[:40]

    play(settings, scenario)


def test_numbers_that_look_alike_stay_apart() -> None:
    assert [strict_json.dump(strict_json.parse(written)) for written in (b"1", b"1.0", b"-0.0", b"0", b"1e2")] == [
        b"1",
        b"1.0",
        b"-0.0",
        b"0",
        b"100.0",
    ]


_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_json: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _text,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(_text, below, max_size=4),
    max_leaves=12,
)


def test_json_comes_out_as_it_went_in(settings: Settings) -> None:
    runner = asyncio.Runner()
    with runner:
        stack = house(settings)
        here = runner.run(stack.__aenter__())

        @trying(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
        @given(parameters=st.dictionaries(_text, _json, max_size=4), result=_json)
        def comes_out(parameters: dict[str, Json], result: Json) -> None:
            async def once() -> None:
                sent = strict_json.parse(strict_json.dump(parameters))
                assert isinstance(sent, dict)
                held = await here.begun(parameters=sent)
                assert strict_json.dump(held.parameters) == strict_json.dump(sent)
                await here.queue.finish(held, Outcome("succeeded", result))
                task = await here.task(held.id)
                shown = task.model_dump(mode="json")
                # The order of keys and the sign of zero included.
                assert strict_json.dump(shown["parameters"]) == strict_json.dump(sent)
                assert strict_json.dump(shown["result"]) == strict_json.dump(result)

            runner.run(once())

        try:
            comes_out()
        finally:
            runner.run(stack.__aexit__(None, None, None))


@pytest.mark.parametrize(
    "body",
    [
        b'"\\u0000"',
        b'{"\\u0000": 1}',
        b'"\\ud800"',
        b"1e400",
        b"9223372036854775808",
        b"-9223372036854775809",
        b"NaN",
        b'{"a": 1, "a": 2}',
        b"[" * 66 + b"]" * 66,
        b"[" * 200_000,
        b"\xff",
        b"",
        b"1 2",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_json_that_could_not_come_out_the_same_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        strict_json.parse(body)
