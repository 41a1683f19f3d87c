"""A model elsewhere that does not do what it should."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.breaker import FAILURES, OPEN_S
from shared.config import Settings
from shared.errors import ConfigurationError, Invalid, Unavailable
from shared.stores.embedders import openai
from shared.stores.embedders.hashed import Hashed
from shared.stores.embedders.openai import OpenAi
from shared.stores.embedders.openai_answer import retry_after_s, vectors_in
from tests.embedders.openai_server import (
    DIMENSION,
    KEY,
    MODEL,
    Fault,
    Json,
    OpenAiServer,
    changed,
    cut,
    cut_in_its_json,
    gone,
    silent,
    status,
)
from tests.internet import gate

TEXTS = ["a bucket", "an object", "the moon"]


def play(server: OpenAiServer, scenario: Callable[[OpenAi], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), server.opened() as model:
            await scenario(model)

    asyncio.run(main())


async def right(texts: Sequence[str]) -> NDArray[np.float32]:
    model = await Hashed.load()
    try:
        return await model.embed(texts)
    finally:
        await model.close()


async def assert_right(model: OpenAi, texts: Sequence[str] = TEXTS) -> None:
    np.testing.assert_allclose(await model.embed(texts), await right(texts), atol=1e-6)


def test_the_model_is_asked_with_its_key_and_its_id_does_not_tell_where() -> None:
    server = OpenAiServer()

    async def scenario(model: OpenAi) -> None:
        await assert_right(model)
        assert model.model_id == f"openai:{MODEL}:{DIMENSION}"

    play(server, scenario)
    assert server.asked == [{"model": MODEL, "input": TEXTS, "encoding_format": "float"}]
    assert server.keys == [f"Bearer {KEY}"]


def _swap(data: list[Json]) -> None:
    data.reverse()


def test_rows_that_come_in_another_order_go_to_their_texts() -> None:
    play(OpenAiServer(faults=[changed(_swap)]), assert_right)


def _short(data: list[Json]) -> None:
    data.pop()


def _twice(data: list[Json]) -> None:
    data[1]["index"] = 0


def _outside(data: list[Json]) -> None:
    data[1]["index"] = 7


def _without_index(data: list[Json]) -> None:
    del data[0]["index"]


def _nan(data: list[Json]) -> None:
    data[1]["embedding"][3] = float("nan")


def _infinite(data: list[Json]) -> None:
    data[1]["embedding"][3] = float("-inf")


def _zero(data: list[Json]) -> None:
    data[2]["embedding"] = [0.0] * DIMENSION


def _ragged(data: list[Json]) -> None:
    data[2]["embedding"].pop()


def _words(data: list[Json]) -> None:
    data[2]["embedding"] = "AAAA"


def _empty(data: list[Json]) -> None:
    data.clear()


FAULTS: dict[str, Fault] = {
    "an error of the server": status(500),
    "a gateway's error": status(502),
    "overload": status(503),
    "too many requests": status(429),
    "an answer that is cut": cut,
    "JSON that is cut": cut_in_its_json,
    "a connection that ends": gone,
    "a row too few": changed(_short),
    "no rows": changed(_empty),
    "a row twice": changed(_twice),
    "a row of no text": changed(_outside),
    "a row without its number": changed(_without_index),
    "a NaN": changed(_nan),
    "an infinity": changed(_infinite),
    "a vector of length 0": changed(_zero),
    "a vector that is shorter": changed(_ragged),
    "a vector that is none": changed(_words),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_what_goes_wrong_once_is_tried_again(fault: Fault) -> None:
    server = OpenAiServer(faults=[fault])
    play(server, assert_right)
    assert len(server.asked) == 2 and server.slept == [0.5]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_what_goes_wrong_each_time_is_unavailable_after_a_few_tries(fault: Fault) -> None:
    server = OpenAiServer(faults=[fault] * 4)

    async def scenario(model: OpenAi) -> None:
        with pytest.raises(Unavailable) as met:
            await model.embed(TEXTS)
        assert KEY not in met.value.message
        await assert_right(model)

    play(server, scenario)
    assert server.slept == [0.5, 1.0, 2.0]


def test_one_that_does_not_answer_is_given_up_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "_ATTEMPT_S", 0.3)
    play(OpenAiServer(faults=[silent]), assert_right)


def test_a_server_that_says_when_is_left_alone_until_then() -> None:
    server = OpenAiServer(faults=[status(429, retry_after="7"), status(503, retry_after="3")])
    play(server, assert_right)
    assert server.slept == [7, 3]


def test_a_server_that_wants_to_be_left_alone_for_long_is_not_waited_for() -> None:
    server = OpenAiServer(faults=[status(429, retry_after="60")])

    async def scenario(model: OpenAi) -> None:
        with pytest.raises(Unavailable) as met:
            await model.embed(TEXTS)
        assert met.value.details == {"retry_after": 60}

    play(server, scenario)
    assert server.slept == []


@pytest.mark.parametrize("code", [301, 401, 403, 404])
def test_an_answer_that_stays_the_same_is_not_asked_for_again(code: int) -> None:
    server = OpenAiServer(faults=[status(code)])

    async def scenario(model: OpenAi) -> None:
        with pytest.raises(Unavailable, match=str(code)):
            await model.embed(TEXTS)

    play(server, scenario)
    assert len(server.asked) == 1


def test_a_server_that_fails_again_and_again_is_left_alone_for_a_while() -> None:
    server = OpenAiServer(faults=[status(401)] * FAILURES)

    async def scenario(model: OpenAi) -> None:
        for _ in range(FAILURES + 3):
            with pytest.raises(Unavailable):
                await model.embed(["x"])
        assert len(server.asked) == FAILURES
        server.now += OPEN_S
        await assert_right(model)

    play(server, scenario)


def test_a_text_that_is_refused_takes_none_of_the_others_with_it() -> None:
    texts = [f"text {number}" for number in range(40)]
    server = OpenAiServer(refuses=frozenset({"text 11", "text 30"}))

    async def scenario(model: OpenAi) -> None:
        found = await asyncio.gather(*(model.embed([text]) for text in texts), return_exceptions=True)
        refused = [text for text, each in zip(texts, found, strict=True) if isinstance(each, Invalid)]
        assert refused == ["text 11", "text 30"]
        rows = [each for each in found if not isinstance(each, BaseException)]
        left = [text for text in texts if text not in refused]
        np.testing.assert_allclose(np.concatenate(rows), await right(left), atol=1e-6)

    play(server, scenario)


def test_a_server_that_refuses_everything_is_not_asked_for_each_text() -> None:
    texts = [f"text {number}" for number in range(64)]
    server = OpenAiServer(refuses=frozenset(texts))

    async def scenario(model: OpenAi) -> None:
        with pytest.raises(Invalid):
            await model.embed(texts)

    play(server, scenario)
    assert len(server.asked) < 64


def test_many_texts_are_sent_in_batches_and_come_back_in_order() -> None:
    server = OpenAiServer()
    texts = [f"text {number}" for number in range(300)]
    play(server, lambda model: assert_right(model, texts))
    assert sorted(text for asked in server.asked for text in asked["input"]) == sorted(texts)
    assert max(len(asked["input"]) for asked in server.asked) == 64


def test_a_model_of_more_dimensions_is_told_how_many_are_wanted() -> None:
    server = OpenAiServer(faults=[changed(_longer)])
    play(server, assert_right)
    assert [asked.get("dimensions") for asked in server.asked] == [None, DIMENSION]
    assert server.slept == [0]


def _longer(data: list[Json]) -> None:
    for each in data:
        each["embedding"] += [1.0] * 10


def test_a_model_of_other_dimensions_is_unavailable() -> None:
    server = OpenAiServer(faults=[changed(_shorter)] * 2)

    async def scenario(model: OpenAi) -> None:
        with pytest.raises(Unavailable, match="gives vectors of 374 dimensions and not of 384"):
            await model.embed(TEXTS)

    play(server, scenario)


def _shorter(data: list[Json]) -> None:
    for each in data:
        del each["embedding"][374:]


def test_a_peer_that_the_gate_refuses_is_never_asked() -> None:
    async def main() -> None:
        model = OpenAi(url="http://127.0.0.1:9/v1", key=KEY, model=MODEL, dimension=3, egress=gate())
        with pytest.raises(Unavailable, match="refused"):
            await model.embed(["x"])
        await model.close()

    asyncio.run(main())


def test_one_that_is_closed_asks_nobody_any_more() -> None:
    server = OpenAiServer()

    async def scenario(model: OpenAi) -> None:
        await model.close()
        with pytest.raises(Unavailable):
            await model.embed(["x"])

    play(server, scenario)
    assert server.asked == []


@pytest.mark.parametrize("said", [{"MODEL": "m"}, {"DIMENSION": "3"}, {}])
def test_a_model_elsewhere_that_is_not_said_in_full_is_refused(said: dict[str, str], tmp_path: Path) -> None:
    environ = {f"SUTAZAI_EMBEDDINGS_{name}": value for name, value in {"URL": "https://x/v1", **said}.items()}
    with pytest.raises(ConfigurationError, match="SUTAZAI_EMBEDDINGS_DIMENSION"):
        OpenAi.of(Settings.read({"SUTAZAI_HOME": str(tmp_path), **environ}), gate())


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1.0, 1e30, 1e200])
def test_vectors_of_any_size_have_their_direction(scale: float) -> None:
    body = b'{"data": [{"index": 0, "embedding": [%b, %b]}]}' % (repr(3 * scale).encode(), repr(-4 * scale).encode())
    np.testing.assert_allclose(vectors_in(body, 1, 2), [[0.6, -0.8]], atol=1e-6)


def test_when_to_come_back_is_seconds_or_a_time() -> None:
    at = datetime.now(UTC) + timedelta(seconds=30)
    assert retry_after_s("12") == 12 and retry_after_s(" 0 ") == 0
    assert 27 < (retry_after_s(format_datetime(at, usegmt=True)) or 0) <= 30
    assert retry_after_s("Sun, 06 Nov 1994 08:49:37 GMT") == 0
    assert [retry_after_s(said) for said in ("", "soon", "-1", "1.5")] == [None] * 4
